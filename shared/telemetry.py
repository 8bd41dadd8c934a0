"""What a process tells of itself: structured log lines on standard output, Prometheus metrics.

Log lines are JSON objects, one a line, in ASCII: whatever a value holds, it begins no line of its
own. They have `timestamp` (UTC, ISO 8601), `level`, `event`, `part` and the facts, and `request`
where they are about requests: its id, or a list of them.

No line carries a token, a password or what a person wrote. Where a fact is an exception, the line
has what `tracebacks` tells of it.
"""

import json
import logging
import sys
from types import TracebackType

import structlog
from prometheus_client import Counter, Histogram
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from shared import subjects, tracebacks

CALLS = Counter("stonechat_calls", "Calls handled", ["method", "outcome"])
EVENTS = Counter("stonechat_events", "Domain events handled", ["type", "outcome"])
CALL_SECONDS = Histogram(
    "stonechat_call_seconds",
    "Time in the method, of a whole batch where it is one",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
BATCH_CALLS = Histogram(
    "stonechat_batch_calls", "Calls in one HTTP request", buckets=(1, 2, 5, 10, 20, 50, 100, 200)
)
STEP_SECONDS = Histogram(
    "stonechat_step_seconds",
    "Time of one step of an append, of a whole batch: permit, number, seal, insert, publish",
    ["step"],
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5),
)
COMMIT_ENTRIES = Histogram(
    "stonechat_commit_entries",
    "Entries in one insert",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
)


logger = structlog.get_logger(__name__)


def configure(part: str, level: str, *, quotes: bool = False) -> None:
    """Sets up logging for this process; `part` names it in every line. With `quotes` the texts of
    exceptions are logged too, whatever they quote."""

    def ours(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("part", part)
        asked = event.pop("request", None) or subjects.request_ids()
        if asked:
            event["request"] = asked[0] if isinstance(asked, list) and len(asked) == 1 else asked
        for name, value in event.items():
            if isinstance(value, BaseException) and name != "exc_info":
                event[name] = str(value) if quotes else tracebacks.told(value)
        return event

    def traced(exc_info: ExcInfo) -> str:
        return tracebacks.rendered(exc_info[1], quotes=quotes)

    common: list[Processor] = [
        ours,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: list[Processor] = [
        structlog.processors.ExceptionRenderer(traced),
        structlog.processors.JSONRenderer(json.dumps, default=_kind),
    ]
    structlog.configure(
        processors=[*common, *final],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    # Libraries log through the standard module: the same lines, from warnings on.
    libraries = logging.StreamHandler(sys.stdout)
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_library, *common],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
            use_get_message=False,
            pass_foreign_args=True,
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[libraries], force=True)
    sys.excepthook = _last_words


def _library(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """What a library logs, without what it quotes: its message's first line, and of what it would
    put there the numbers."""
    record: logging.LogRecord = event["_record"]
    first, _, _ = str(record.msg).partition("\n")
    given = event.pop("positional_args", ())
    args = tuple(each if isinstance(each, int | float) else "…" for each in given or ())
    try:
        event["event"] = first % args if args else first
    except (TypeError, ValueError):
        event["event"] = first
    event["logger"] = record.name
    return event


def _kind(value: object) -> str:
    """Stands for what is no JSON."""
    return f"<{type(value).__name__}>"


def _last_words(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """What a process says of the exception that ends it."""
    if isinstance(error, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logger.critical("process_broke", exc_info=error)
