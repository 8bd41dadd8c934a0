"""Prometheus metrics of a connector."""

from prometheus_client import Counter, Gauge, Histogram

SESSIONS = Gauge("stonechat_sessions", "Sockets connected", ["state"])
FRAMES_IN = Counter("stonechat_frames_in", "Text frames received")
FRAMES_OUT = Counter("stonechat_frames_out", "Text frames sent unasked")
REFUSED = Counter("stonechat_refused", "Frames answered by the connector itself", ["reason"])
REFUSED_FRAMES = Counter("stonechat_refused_frames", "Frames that were no call, or too many")
CLOSED = Counter("stonechat_closed", "Sockets closed by the server", ["code"])
EMITTED = Counter("stonechat_events_emitted", "Events of sessions put into the stream")
UNSENT = Counter("stonechat_events_dropped", "Events of sessions dropped while Redis was away")
DISPATCHED = Counter(
    "stonechat_events_dispatched",
    "Events given to a function: handled, later (it asked for them again), failed (will be tried "
    "again), dead (put aside)",
    ["function", "outcome"],
)
NONSENSE = Counter("stonechat_nonsense", "Answers of functions that meant nothing", ["function"])
LAG = Gauge(
    "stonechat_events_lag", "Batches that no connector has read for it yet", ["function", "stream"]
)
BATCH = Histogram(
    "stonechat_lane_batch",
    "Calls in a batch",
    ["function"],
    buckets=(1, 2, 5, 10, 20, 50, 100, 200),
)
HOP = Histogram(
    "stonechat_hop_seconds",
    "One HTTP call to a function, retries included",
    ["function"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
