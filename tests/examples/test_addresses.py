"""Where a link may lead, and where never."""

import httpx
import pytest

from examples.link_preview.addresses import Refused, address_of, is_public
from examples.link_preview.config import Config


@pytest.mark.parametrize("address", ["8.8.8.8", "193.99.144.80", "2606:4700::1111"])
def test_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.0.9",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2001::1",
        "2001:db8::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%lo",
        "fec0::1",
        "ff02::1",
    ],
)
def test_what_is_inside_is_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://8.8.8.8/",
        "http://8.8.8.8:22/",
        "http://8.8.8.8:0/",
        "http://user:password@8.8.8.8/",
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://017700000001/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
        f"http://{'a' * 64}.example/",
        "http:///etc/passwd",
    ],
)
async def test_a_link_that_leads_inside_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        await address_of(httpx.URL(url), Config())


async def test_a_named_host_may_be_inside_and_others_with_its_address_not() -> None:
    config = Config(internal_hosts=frozenset({"127.0.0.1"}))
    assert await address_of(httpx.URL("http://127.0.0.1/"), config) == "127.0.0.1"
    with pytest.raises(Refused):
        await address_of(httpx.URL("http://127.0.0.2/"), config)
    with pytest.raises(Refused):
        await address_of(httpx.URL("http://localhost/"), config)


async def test_a_public_address_is_what_is_connected_to() -> None:
    assert await address_of(httpx.URL("https://8.8.8.8/"), Config()) == "8.8.8.8"
    assert await address_of(httpx.URL("http://[2606:4700::1111]/"), Config()) == "2606:4700::1111"
