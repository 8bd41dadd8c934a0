"""What a process tells of itself: structured log lines on standard output, Prometheus metrics.

Log lines are JSON objects with `timestamp` (UTC, ISO 8601), `level`, `event`, `part` and the facts.
No line carries a token, a password or the content of an entry.
"""

import logging
import sys

import structlog
from prometheus_client import Counter, Histogram

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


def configure(part: str, level: str) -> None:
    """Sets up logging for this process; `part` names it in every line."""
    common: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=[*common, *final],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(part=part)
    # Libraries log through the standard module: the same lines, from warnings on.
    libraries = logging.StreamHandler(sys.stdout)
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[libraries], force=True)
