"""What connectors will make of a function's annotations, told before it is deployed."""

import re
from collections.abc import Mapping

from connector.routes import CHANNELS, TOPIC, Routes, build

Listed = Mapping[str, Mapping[str, str]]  # functions and their annotations

_PREFIX = "stonechat."
_NAMES = ("methods", "public", "reads", "raw", "events", "before")
_POLICIES = ("before.policy", "channels.policy")
_NUMBERS = {
    "before.budget": 5000,
    "channels.budget": 5000,
    "lanes": 64,
    "batch": 1000,
    "share": 1000,
}


def complaints(name: str, annotations: Mapping[str, str], others: Listed) -> list[str]:
    """A line for everything that connectors would leave out, or take for something else. `others`
    are the functions that are deployed, of which this may be one."""
    ours = {
        key.removeprefix(_PREFIX): value
        for key, value in annotations.items()
        if key.startswith(_PREFIX)
    }
    if not ours:
        return []
    found = [*_shapes(ours), *_subsets(ours)]
    if TOPIC not in annotations.get("topic", "").split(","):
        found.append(f"topic: {TOPIC} is missing, without which connectors pass it over")
    return found or _lost(name, annotations, others)


def methods(annotations: Mapping[str, str]) -> list[str]:
    """The methods that clients call."""
    if TOPIC not in annotations.get("topic", "").split(","):
        return []
    found = _split(annotations.get("stonechat.methods", ""))
    return [each for each in found if not each.startswith("session.")]


def public(annotations: Mapping[str, str]) -> list[str]:
    """The methods that need no signing in."""
    return _split(annotations.get("stonechat.public", ""))


def _shapes(ours: Mapping[str, str]) -> list[str]:
    found = []
    for key, value in ours.items():
        if key in _POLICIES and value not in ("refuse", "pass"):
            found.append(f"{_PREFIX}{key} is refuse or pass, not {value!r}")
        elif key in _NUMBERS:
            if not re.fullmatch("[0-9]{1,9}", value.strip()) or not (
                1 <= int(value) <= _NUMBERS[key]
            ):
                found.append(f"{_PREFIX}{key} is a number from 1 to {_NUMBERS[key]}, not {value!r}")
        elif key not in (*_NAMES, *_POLICIES):
            found.append(f"{_PREFIX}{key} means nothing")
    return found


def _subsets(ours: Mapping[str, str]) -> list[str]:
    own = set(_split(ours.get("methods", "")))
    return [
        f"{_PREFIX}{key} names {method}, which is none of its methods"
        for key in ("public", "reads")
        for method in _split(ours.get(key, ""))
        if method not in own
    ]


def _lost(name: str, annotations: Mapping[str, str], others: Listed) -> list[str]:
    """The methods that it would not get, each with who has it."""
    before = build(others, Routes())
    after = build({**others, name: annotations}, before)
    found = []
    for method in methods(annotations):
        route = after.methods.get(method)
        if route is None:
            found.append(
                f"it does not get {method}: that is no method's name, or its noun belongs to "
                "a function that Stonechat ships"
            )
        elif route.function != name:
            found.append(f"it does not get {method}: {route.function} has it")
    sources = {source.function for source in after.channel_sources}
    if CHANNELS in _split(annotations.get("stonechat.methods", "")) and name not in sources:
        found.append(f"it does not get {CHANNELS}")
    return found


def _split(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
