"""What a client remembers, in memory and in a file."""

from pathlib import Path

from stonechat.state import SqliteState


def test_a_file_remembers_what_was_put(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "state.sqlite"
    first = SqliteState(file)
    first.put("tokens", {"access_token": "x"})
    first.put("gone", 1)
    first.put("gone", None)
    first.set_last("d:a:b", 3)
    first.set_last("d:a:b", 4)
    for cid in ("c1", "c2", "c3", "c1"):
        first.keep(cid, "message.send", {"cid": cid})
    first.drop("c2")
    second = SqliteState(file)  # the first was never closed, as when its process is killed
    assert second.get("tokens") == {"access_token": "x"}
    assert second.get("gone") is None
    assert second.lasts() == {"d:a:b": 4}
    assert second.kept() == [("message.send", {"cid": "c1"}), ("message.send", {"cid": "c3"})]
    assert file.stat().st_mode & 0o077 == 0
