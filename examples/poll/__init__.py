"""Polls: `poll.create`, `poll.vote`, `poll.get`."""
