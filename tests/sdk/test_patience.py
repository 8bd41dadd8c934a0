"""Whoever asks waits longer than who answers, at the server's own limits."""

from stonechat import patience

from shared.settings import Settings


def default(name: str) -> float:
    return float(Settings.model_fields[name].default)


def test_the_client_waits_longer_than_the_server_takes() -> None:
    tries = default("call_timeout") + default("call_retry_for")
    longest = max(tries, default("http_answer_timeout"), default("open_timeout"))
    assert longest < patience.ANSWER
    assert longest < patience.SESSION_ANSWER
    assert patience.LONGEST_ANSWER > patience.ANSWER
    assert patience.LONGEST_SESSION_ANSWER > patience.SESSION_ANSWER
    assert default("open_timeout") < patience.CONNECT
    assert default("pong_timeout") < patience.PONG


def test_the_client_says_that_it_is_there_before_the_server_asks() -> None:
    assert default("ping_after") > patience.SILENCE
