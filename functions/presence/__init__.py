"""`presence`: see `handler`."""
