"""The long-lived process at the door. It knows sessions, channels and routes, and no feature.

Flow, in: `door` (the port: WebSocket or HTTP) → `socket` or `http_door` → `session` (what a frame
means, within its `limits`) → `routes` (whose method it is) → `lanes` (order, batches, everybody's
turn) → `hooks` → `forwarder` (one signed HTTP call a batch) → `answers` (checked) → `failures` (an
error gets its request's id, and what is our fault a line in the log) → the sender's result.
Flow, out: this node's Redis stream → `inbox` → `subscriptions` → the encoded frame to each session.
Events: the stream → `dispatcher` → `subscriber` (one a function, what waits in its `backlog`) →
`forwarder`.
Beside them: `opener` signs sessions in, `devices` knows who is still signed in, `channel_sources`
asks functions for a session's channels, `server` admits sockets and lets the oldest of a `crowd`
go, `peers` knows whose address it is, `registry` tells Redis which channels are listened to here,
`emitter` says which sessions opened and closed, `node` beats (`pulse`) and sweeps dead nodes,
`origin` notices another Redis, `resync` asks again what sessions hear, `watch` pings, expires and
times out.

Invariants: a session's channels are live in Redis before `session.open` is answered; nothing is
delivered that was published after a loss to who was listening before it; calls of one session to
one function are never reordered; a frame that was read is answered or its socket is closed; every
queue is bounded, in calls and bytes; every loop has a last resort, and what a client sends or a
function answers is no trouble of anybody else's; state here can be lost at any time without losing
an entry.
"""
