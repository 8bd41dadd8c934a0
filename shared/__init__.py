"""What every function and the connector stand on.

Responsibility: the log (durable, ordered entries), the bus (channels to connector nodes), the
function framework, and the names, keys, errors, tokens and settings they share.

Flow: `function` parses a call → a method appends to `log` → `log` numbers it in Redis, stores it
in MongoDB → `bus` publishes the encoded frame to the nodes that listen → the result goes back.

Invariants: nothing here imports another package of ours; Redis keys are spelled only in
`keys`, collections and indexes only in `collections`, settings only in `settings`, error
reasons only in `errors`. What an exception says is logged only as `tracebacks` tells it, and
threads are started only by `threads`, which tell them whose requests they work for (`subjects`).
"""
