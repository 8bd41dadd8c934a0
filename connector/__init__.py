"""The long-lived WebSocket process. It knows sessions, channels and routes, and no feature.

Flow, in: `server` (sockets) → `session` (what a frame means) → `routes` (whose method it is) →
`lanes` (order, batches) → `forwarder` (one HTTP call a batch) → the sender's result.
Flow, out: this node's Redis stream → `inbox` → `subscriptions` → the encoded frame to each session.
Events: the stream → `dispatcher` → `subscriber` (one a function, what waits in its `backlog`) →
`forwarder`.
Beside them: `opener` signs sessions in, `registry` tells Redis which channels are listened to here,
`emitter` says which sessions opened and closed, `node` is the heartbeat and sweeps dead nodes,
`watch` pings, expires and times out.

Invariants: a session's channels are live in Redis before `session.open` is answered; calls of one
session to one function are never reordered; a frame that was read is answered or its socket is
closed; every queue is bounded; state here can be lost at any time without losing an entry.
"""
