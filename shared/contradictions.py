"""Settings that are each in order and make no sense together."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from shared.settings import Settings


class Rule(NamedTuple):
    """The first setting may not be above the second, nor equal where it is `strict`."""

    small: str
    large: str
    why: str
    strict: bool = False


RULES = (
    Rule("heartbeat_interval", "node_ttl", "a connector would die between two beats", strict=True),
    Rule("body_limit", "frame_limit", "such an entry fits into no frame"),
    Rule("public_frame_limit", "frame_limit", "no frame is longer"),
    Rule("frame_limit", "lane_batch_bytes", "a frame must fit into a batch"),
    Rule("frame_limit", "bus_entry_limit", "a frame must fit into an entry of the bus"),
    Rule("send_buffer_limit", "send_buffer_most", "the first is where a reader lags, not the end"),
    Rule("session_days_idle", "session_days_absolute", "no device stays signed in longer"),
    Rule("call_timeout", "http_answer_timeout", "the answer would come too late"),
    Rule("append_timeout", "call_timeout", "the answer would come too late"),
    Rule("lane_share", "lane_queue", "so many cannot wait"),
    Rule("answer_bytes", "answer_limit", "one answer must fit into those of a batch"),
)


def contradictions(config: "Settings") -> list[tuple[Rule, str]]:
    """The rules that these settings break, each with a line that says so."""
    found = []
    for rule in RULES:
        small, large = getattr(config, rule.small), getattr(config, rule.large)
        if small > large or (rule.strict and small == large):
            bound = "below" if rule.strict else "at most"
            line = f"is {small}; expected {bound} {_named(rule.large)}, {large}: {rule.why}"
            found.append((rule, line))
    return found


def _named(name: str) -> str:
    return f"STONECHAT_{name.upper()}"
