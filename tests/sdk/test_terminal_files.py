"""Names are names: whatever is typed, files stay in the folder."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stonechat.errors import StateInUse, UnusableState
from stonechat.terminal import account, files
from stonechat.terminal.files import Account

URL = "ws://127.0.0.1:8001/v1"


@given(st.text(max_size=40), st.text(alphabet="./\\\0~-_a", max_size=40))
def test_no_name_leads_out_of_the_folder(some: str, path: str) -> None:
    folder = Path("/state")
    for typed in (some, path, f"../{some}"):
        try:
            name = files.username(typed)
        except ValueError:
            continue
        found = Account(folder, name, URL)
        for file in (found.password, found.device("chat", 1), files.names(folder, name)):
            assert file.parent == folder
            assert not {"/", "\0"} & set(file.name)
            assert len(file.name.encode()) < 200


@given(st.text(max_size=80))
def test_no_server_leads_out_of_it_either(host: str) -> None:
    try:
        file = Account(Path("/state"), "alice", f"ws://{host}/v1").password
    except ValueError:
        return
    assert file.parent == Path("/state")
    assert len(file.name) < 200


@pytest.mark.parametrize("typed", ["alice", "Alice", " ALICE ", "ａｌｉｃｅ"])
def test_what_means_one_name_is_one(typed: str) -> None:
    assert files.username(typed) == "alice"


@pytest.mark.parametrize(
    "typed",
    ["", ".", "..", "../x", "/etc/x", "a/b", "a\0b", "a" * 33, "аlice", "ali ce", "a:b", "ﬁsh"],
)
def test_what_can_be_nobodys_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="3 to 32 characters"):
        files.username(typed)


def test_files_of_names_are_apart() -> None:
    folder, names = (
        Path("/state"),
        ["alice", "alice.1", "alice-chat.1", "alice.names", "alice.password"],
    )
    made = [
        file
        for name in names
        for of in [Account(folder, name, URL)]
        for file in (of.password, of.device("chat", 1), files.names(folder, name))
    ]
    assert len(set(made)) == len(made)


def test_the_folder_is_its_owners(tmp_path: Path) -> None:
    files.make(tmp_path / "made" / "state")
    assert stat.S_IMODE((tmp_path / "made" / "state").stat().st_mode) == 0o700
    files.write(tmp_path / "x", "secret")
    assert not files.write_first(tmp_path / "x", "other")
    assert (tmp_path / "x").read_text() == "secret"
    assert [stat.S_IMODE(each.stat().st_mode) for each in tmp_path.glob("x*")] == [0o600]


def test_a_state_that_is_none_is_named(tmp_path: Path) -> None:
    of = Account(tmp_path, "alice", URL)
    of.device("chat", 1).write_text("nonsense " * 1000)
    with pytest.raises(UnusableState, match=str(of.device("chat", 1))):
        account.seat(of, "chat")


def test_what_a_stopped_command_left_goes_to_the_next(tmp_path: Path) -> None:
    of = Account(tmp_path, "alice", URL)
    seats = [account.seat(of, "send") for _ in range(account.SEATS)]
    with pytest.raises(StateInUse, match="alice"):
        account.seat(of, "send")
    account.seat(of, "chat").close()
    for number, each in enumerate(seats):
        each.put("uid", "u1")
        each.keep([("message.send", {"cid": f"c{number}"})])
    seats[-1].put("uid", "another")
    for each in seats:
        each.close()
    first = account.seat(of, "send")
    assert [params["cid"] for _, params in first.kept()] == [f"c{n}" for n in range(len(seats) - 1)]
    second = account.seat(of, "send")
    assert second.kept() == []
    for each in (first, second):
        each.close()
