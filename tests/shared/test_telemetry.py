"""Log lines: one a line, about whom they are, and without what anybody wrote."""

import contextlib
import json
import subprocess
import sys
from textwrap import dedent
from typing import Any

import orjson
import pytest
import redis
from pydantic import BaseModel, ValidationError
from pymongo.errors import AutoReconnect, BulkWriteError, DuplicateKeyError

from shared import subjects, threads, tracebacks
from shared.errors import CallError, Reason
from shared.subjects import about

MARKER = "what somebody wrote"
CONTROLS = "".join(map(chr, [*range(32), 127, 0x85, 0x2028, 0x2029, 0x202E, 0xD800]))
BEGINNING = """
    import logging
    import structlog
    from shared import telemetry, threads
    from shared.subjects import about

    telemetry.configure("p", "info")
    logger = structlog.get_logger()

    class Asked:
        def __init__(self, request_id):
            self.request_id = request_id

    one, two = Asked("one"), Asked("two")
"""


def printed(program: str) -> list[dict[str, Any]]:
    """The lines that a process prints, all of which have to be records."""
    command = [sys.executable, "-c", dedent(BEGINNING) + dedent(program)]
    out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert out.stdout.isascii()
    records: list[dict[str, Any]] = list(map(json.loads, out.stdout.splitlines()))
    assert all({"event", "level", "part", "timestamp"} <= set(each) for each in records)
    assert {each["part"] for each in records} <= {"p"}
    return records


def test_lines_say_whose_requests_they_are_about() -> None:
    records = printed(
        """
        logger.info("nobody")
        with about([one, two]):
            logger.info("both")
            with about((two,)):
                logger.info("second")
            with about(["an item that has no id"]):
                logger.info("both")
            logger.info("other", request=["other"])
            logging.getLogger("library").warning("both")
        logger.info("nobody")
        """
    )
    wanted = {"both": ["one", "two"], "second": "two", "other": "other", "nobody": None}
    assert len(records) == 7
    assert all(each.get("request") == wanted[each["event"]] for each in records)


def test_lines_of_other_threads_do_too() -> None:
    records = printed(
        """
        pool = threads.Pool(2)
        with about([one]):
            first = pool.submit(logger.info, "one")
            carried = threads.carried(lambda: logger.info("one"))
        with about([two]):
            second = pool.submit(logger.info, "two")
            carried()
        first.result(), second.result()
        pool.submit(logger.info, "nobody").result()
        threads.start("alone", lambda: 1 / 0)
        """
    )
    said = sorted((each["event"], each.get("request")) for each in records[:4])
    assert said == [("nobody", None), ("one", "one"), ("one", "one"), ("two", "two")]
    assert "ZeroDivisionError" in records[4]["exception"]


def test_no_value_begins_a_line() -> None:
    records = printed(
        f"""
        text = {CONTROLS!a} + '{{"event":"forged"}}'
        logger.info(text, **{{"key" + text: text}}, other=[text, {{text: text}}])
        logging.getLogger(text).warning("text %s" + text, text)
        """
    )
    assert len(records) == 2
    assert "forged" not in [each["event"] for each in records]


def test_what_is_no_json_is_its_type() -> None:
    (record,) = printed(
        f"logger.info('x', value=type('Secret', (), {{'__repr__': lambda s: {MARKER!r}}})())"
    )
    assert record["value"] == "<Secret>"


def failures() -> list[Exception]:
    """Exceptions that quote what they are about."""

    class Model(BaseModel):
        number: int

    found: list[Exception] = [
        RuntimeError(MARKER),
        OSError(MARKER),
        OSError(2, "No such file", MARKER),
        AssertionError(MARKER),
        CallError(Reason.CONFLICT, MARKER),
        DuplicateKeyError(MARKER, 11000, {"keyValue": {"_id": MARKER}}),
        BulkWriteError({"writeErrors": [{"op": {"text": MARKER}}]}),
        redis.ResponseError(MARKER),
        ExceptionGroup(MARKER, [ValueError(MARKER), KeyError(MARKER)]),
    ]
    for work in (
        lambda: Model(number=MARKER),  # type: ignore[arg-type]
        lambda: int(MARKER),
        lambda: {}[MARKER],
        lambda: orjson.loads(f'"{MARKER}'),
        lambda: (MARKER + "é").encode("ascii"),
        lambda: open(f"/no/such/{MARKER}"),  # noqa: SIM115
        lambda: getattr(Model, MARKER),
        lambda: Model.model_validate(MARKER),
    ):
        try:
            work()
        except Exception as failure:
            found.append(failure)
            made = RuntimeError(MARKER)
            made.__cause__ = failure
            made.add_note(MARKER)
            found.append(made)
    return found


@pytest.mark.parametrize("failure", failures(), ids=lambda failure: type(failure).__name__)
def test_exceptions_do_not_quote(failure: Exception) -> None:
    assert MARKER not in tracebacks.told(failure)
    assert tracebacks.told(failure).startswith(type(failure).__name__)
    text = tracebacks.rendered(failure)
    assert MARKER not in text
    assert type(failure).__name__ in text
    assert MARKER in tracebacks.rendered(failure, quotes=True) or isinstance(
        failure, ValidationError | OSError | UnicodeError | orjson.JSONDecodeError
    )


def test_what_helps_and_quotes_nobody_is_told() -> None:
    class Plain(Exception):
        plain = True

    assert tracebacks.told(Plain("it is so")) == "Plain: it is so"
    assert tracebacks.told(redis.ConnectionError("to a:1")) == "ConnectionError: to a:1"
    assert tracebacks.told(redis.TimeoutError("of a:1")) == "TimeoutError: of a:1"
    assert tracebacks.told(AutoReconnect("a:1 closed")) == "AutoReconnect: a:1 closed"
    assert tracebacks.told(DuplicateKeyError(MARKER, 11000)) == "DuplicateKeyError: code 11000"
    assert tracebacks.told(ConnectionRefusedError(111, "refused")) == (
        "ConnectionRefusedError: refused"
    )
    assert tracebacks.told(TimeoutError()) == "TimeoutError"
    assert len(tracebacks.told(Plain("x" * 10_000))) < 1000


def test_a_chain_is_told_to_its_first_cause_and_no_circle_for_ever() -> None:
    def fails() -> None:
        try:
            int(MARKER)
        except ValueError as failure:
            raise KeyError(MARKER) from failure

    with pytest.raises(KeyError) as caught:
        fails()
    text = tracebacks.rendered(caught.value)
    assert text.index("KeyError") < text.index("ValueError")
    assert "test_telemetry.py" in text
    caught.value.__cause__ = ValueError()
    caught.value.__cause__.__cause__ = caught.value
    assert tracebacks.rendered(caught.value).count("KeyError") <= 2


def test_what_libraries_quote_is_left_out() -> None:
    records = printed(
        f"""
        library = logging.getLogger("library")
        library.warning("pool %s is full, %d of %.1f", {MARKER!r}, 3, 2.5)
        library.warning("said\\n" + {MARKER!r})
        library.warning("100% of %(what)s", {{"what": {MARKER!r}}})
        library.warning("%d", {MARKER!r})
        try:
            int({MARKER!r})
        except ValueError:
            library.exception("broke: %s", {MARKER!r})
        raise RuntimeError({MARKER!r})
        """.replace(f"int({MARKER!r})", f"text = {MARKER!r}; int(text)")
    )
    assert [each["event"] for each in records] == [
        "pool … is full, 3 of 2.5",
        "said",
        "100% of %(what)s",
        "%d",
        "broke: …",
        "process_broke",
    ]
    assert not any(MARKER in str(each.get("event")) for each in records)
    # A program given by `-c` has no source lines to show.
    assert MARKER not in json.dumps(records)


def test_one_request_is_known_by_what_it_causes() -> None:
    class Asked:
        request_id = "one"

    assert subjects.request_id() == ""
    with about([Asked()]):
        assert subjects.request_id() == "one"
        with about([Asked(), Asked()]):
            assert subjects.request_id() == ""
            assert subjects.request_ids() == ["one"]
        with contextlib.suppress(ValueError), about([Asked(), Asked()]):
            raise ValueError
        assert threads.Pool(1).submit(subjects.request_id).result() == "one"
    assert subjects.request_ids() == []
