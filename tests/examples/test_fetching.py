"""Fetching from a site that does its worst."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from examples.link_preview import fetching
from examples.link_preview.addresses import Refused, Unreachable
from examples.link_preview.config import Config
from local import ports
from tests.examples.site import PAGE, Site


@pytest.fixture
def config(site: Site) -> Config:
    return Config(ports=frozenset({site.port}), internal_hosts=frozenset({"127.0.0.1"}))


async def test_a_page(site: Site, config: Config) -> None:
    assert await fetching.fetch(site.url("/page"), config) == PAGE
    assert await fetching.fetch(site.url("/moved"), config) == PAGE
    assert "Grüße" in await fetching.fetch(site.url("/latin"), config)
    assert await fetching.fetch(site.url("/odd"), config) == PAGE


async def test_an_endless_page_is_left_after_its_beginning(site: Site, config: Config) -> None:
    site.gone.clear()
    page = await fetching.fetch(site.url("/endless"), config)
    assert page.startswith("<title>No end</title>xxx")
    assert len(page) == fetching.LIMIT
    async with asyncio.timeout(10):
        await site.gone.wait()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/missing", "no page"),
        ("/picture", "no page"),
        ("/packed", "compressed"),
        ("/circle", "too many redirects"),
        ("/within", "not a public address"),
        ("/file", "not a link"),
    ],
)
async def test_what_is_refused(site: Site, config: Config, path: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        await fetching.fetch(site.url(path), config)
    assert site.asked["/secret"] == 0


async def test_redirects_have_an_end(site: Site, config: Config) -> None:
    site.asked.clear()
    with pytest.raises(Refused):
        await fetching.fetch(site.url("/circle"), config)
    assert site.asked["/circle"] == fetching.REDIRECTS + 1


async def test_a_page_that_comes_byte_by_byte_has_no_more_time(site: Site, config: Config) -> None:
    with pytest.raises(Unreachable, match="TimeoutError"):
        await fetching.fetch(site.url("/drip"), config.model_copy(update={"seconds": 0.3}))


async def test_who_does_not_listen_may_do_so_later(config: Config) -> None:
    port = ports.free_port()
    with pytest.raises(Unreachable, match="ConnectError"):
        await fetching.fetch(
            f"http://127.0.0.1:{port}/", config.model_copy(update={"ports": frozenset({port})})
        )


async def test_one_bad_link_leaves_the_others_alone(site: Site, config: Config) -> None:
    urls = [site.url("/missing"), site.url("/page"), "http://[bad", site.url("/down")]
    found = await asyncio.to_thread(fetching.fetch_all, urls, config)
    assert found[1] == PAGE
    assert [type(each) for each in found] == [Refused, str, Refused, Unreachable]


@pytest.fixture
async def secure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[int, Config]]:
    """A TLS server whose certificate, which is trusted, is for the name `localhost` alone."""
    certificate = self_signed(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    fetching._tls.cache_clear()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with Site(context) as site:
        names = frozenset({"localhost", "127.0.0.1"})
        yield site.port, Config(ports=frozenset({site.port}), internal_hosts=names)
    fetching._tls.cache_clear()


def self_signed(folder: Path, name: str) -> Path:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return file


async def test_a_certificate_is_for_the_name_not_the_address(secure: tuple[int, Config]) -> None:
    port, config = secure
    said = await fetching.fetch(f"https://localhost:{port}/host", config)
    assert said == f"localhost:{port}"  # the site is told the name as well
    with pytest.raises(Unreachable, match="ConnectError"):
        await fetching.fetch(f"https://127.0.0.1:{port}/page", config)
