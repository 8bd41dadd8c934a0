"""Routes from annotations."""

from connector.routes import Route, Routes, build


def annotations(methods: str, **more: str) -> dict[str, str]:
    return {"topic": "stonechat", "stonechat.methods": methods} | more


def test_methods_public_ones_and_lanes() -> None:
    auth = annotations("auth.login, auth.logout") | {
        "stonechat.public": "auth.login",
        "stonechat.lanes": "8",
    }
    routes = build({"auth": auth}, Routes())
    assert routes.methods == {
        "auth.login": Route("auth", True, 8),
        "auth.logout": Route("auth", False, 8),
    }


def test_functions_of_others_are_none_of_our_business() -> None:
    functions = {
        "a": {"stonechat.methods": "a.b"},
        "c": {"topic": "cron", "stonechat.methods": "c.d"},
    }
    assert build(functions, Routes()).methods == {}


def test_functions_that_give_sessions_their_channels() -> None:
    group = annotations("group.create,session.channels")
    routes = build({"group": group, "team": annotations("session.channels")}, Routes())
    assert routes.channel_functions == ("group", "team")
    assert list(routes.methods) == ["group.create"]


def test_no_function_takes_a_method_of_the_connector() -> None:
    assert build({"evil": annotations("session.open,evil.do")}, Routes()).methods == {
        "evil.do": Route("evil", False)
    }


def test_who_has_a_method_keeps_it() -> None:
    first = build({"poll": annotations("poll.create")}, Routes())
    both = {"poll": annotations("poll.create"), "a-poll": annotations("poll.create")}
    assert build(both, first).methods["poll.create"].function == "poll"
    assert build(both, Routes()).methods["poll.create"].function == "a-poll"
    assert build({"a-poll": both["a-poll"]}, first).methods["poll.create"].function == "a-poll"


def test_events_that_functions_want() -> None:
    functions = {
        "presence": annotations("presence.get") | {"stonechat.events": "session.opened, a.b"},
        "poll": annotations("poll.create"),
    }
    assert build(functions, Routes()).events == {"presence": {"session.opened", "a.b"}}
