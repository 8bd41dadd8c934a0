"""The stack's own promises: its folder, its stores, and what is elsewhere."""

import asyncio
import io
import os
from pathlib import Path

import pytest
from minio import Minio

from local import documents
from local.layout import from_environment, on_free_ports
from local.part import PartFailedError
from local.stack import Stack


async def test_a_folder_belongs_to_one_stack(stores: Stack) -> None:
    other = Stack(on_free_ports(stores.layout.directory, connectors=0))
    with pytest.raises(PartFailedError, match=r"another stack runs in .* already"):
        await other.start_stores()
    await other.stop()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where both document servers are installed, and documents are kept."""
    for name in ("PYTHON", "RUST"):
        monkeypatch.setattr(documents, name, tmp_path / name)
        (tmp_path / name).touch()
    return tmp_path


def test_a_new_stack_has_the_faster_document_store(folder: Path) -> None:
    assert documents.server(folder).program == documents.RUST
    assert documents.server(folder, "python").program == documents.PYTHON
    documents.RUST.unlink()
    assert documents.server(folder).program == documents.PYTHON
    with pytest.raises(ValueError, match="STONECHAT_LOCAL_STORE is python or rust"):
        documents.server(folder, "mongod")
    with pytest.raises(ValueError, match="RUST, which is not installed: `make fast-store`"):
        documents.server(folder, "rust")


@pytest.mark.parametrize("wanted", [None, "python", "rust"])
def test_a_stack_keeps_the_document_store_it_began_with(folder: Path, wanted: str | None) -> None:
    began = documents.server(folder, "rust")
    began.data.mkdir()
    assert documents.server(folder, wanted) == began
    began.program.unlink()
    with pytest.raises(ValueError, match="which is not installed"):
        documents.server(folder, wanted)
    began.data.rmdir()
    began = documents.server(folder, "python")
    began.data.mkdir()
    assert documents.server(folder, wanted) == began


async def test_what_was_stored_is_there_when_the_store_is(tmp_path: Path) -> None:
    """The S3 store may only be called ready when it finds its data again."""
    layout = on_free_ports(tmp_path, connectors=0)
    part = Stack(layout).part("s3")
    s3 = Minio(f"127.0.0.1:{layout.s3_port}", access_key="a", secret_key="a" * 8, secure=False)
    await part.start()
    await asyncio.to_thread(s3.make_bucket, "bucket")
    await asyncio.to_thread(s3.put_object, "bucket", "key", io.BytesIO(b"data"), 4)
    await part.stop()
    await part.start()
    found = await asyncio.to_thread(s3.get_object, "bucket", "key")
    assert found.read() == b"data"
    found.close()
    await part.kill()


def test_parts_that_are_elsewhere_are_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("STONECHAT_")]:
        monkeypatch.delenv(name)
    file = tmp_path / "stonechat.env"
    file.write_text("STONECHAT_MONGO_URL=mongodb://db.internal/\nSTONECHAT_LOG_LEVEL=debug\n")
    monkeypatch.setenv("STONECHAT_ENV_FILE", str(file))
    monkeypatch.setenv("STONECHAT_GATEWAY_URL", "http://gateway.internal:8080")
    layout = from_environment(tmp_path, connectors=2, gateway_port=8080)
    assert list(Stack(layout).parts) == ["valkey", "s3", "connector-1", "connector-2"]
    environment = layout.child_environment()
    assert environment["STONECHAT_MONGO_URL"] == "mongodb://db.internal/"
    assert environment["STONECHAT_GATEWAY_URL"] == "http://gateway.internal:8080"
    assert environment["STONECHAT_REDIS_URL"] == "redis://127.0.0.1:16379/0"
    assert environment["STONECHAT_LOG_LEVEL"] == "debug"
