"""Soft state as tests look at it and lose it."""

from shared.generations import generations


def soft(name: str) -> str:
    """A key of the present generation."""
    return generations().present().key(name)
