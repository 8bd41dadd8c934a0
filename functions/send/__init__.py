"""`message.send`: the hot path, in batches."""
