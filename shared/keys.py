"""Every Redis key, spelled once. All of it is soft state: Stonechat survives its loss.

What is believed for long belongs to a generation, whose number its keys bear (see `generations`).
Routing, streams and counts of a moment do not.
"""

import hashlib

GENERATION = "generation"  # string: the mark of the present one, `NUMBER:RUN_ID`
NODES = "nodes"  # set: ids of connector nodes
EVENTS = "events"  # stream: domain events, in batches (see `events`)
MESSAGE_EVENTS = "events:message"  # stream: those of messages, which are many


def of(generation: int, key: str) -> str:
    """The key in a generation."""
    return f"{generation}:{key}"


def sequence(conv: str) -> str:
    """String: the highest number given out in a log."""
    return f"seq:{conv}"


def tail(conv: str) -> str:
    """String: the newest published entry of a log (see `tails`)."""
    return f"tail:{conv}"


def states(uid: str) -> str:
    """Hash: conversation → this person's flags, and read marks, in it (see `states`)."""
    return f"states:{uid}"


def group(gid: str) -> str:
    """Hash: `*` and uids → what is known of the group and of people in it (see `members`)."""
    return f"group:{gid}"


def friendship(pair: str) -> str:
    """String: what two people are to each other (see `friendships`)."""
    return f"friendship:{pair}"


def channel(name: str) -> str:
    """Set: nodes with at least one local subscriber of the channel."""
    return f"channel:{name}"


def node(node_id: str) -> str:
    """Stream: what a node is to deliver."""
    return f"node:{node_id}"


def node_alive(node_id: str) -> str:
    """String with a TTL: the node's heartbeat."""
    return f"node:{node_id}:alive"


def node_channels(node_id: str) -> str:
    """Set: the channels a node is subscribed to, for the one that sweeps it."""
    return f"node:{node_id}:channels"


def node_sweep(node_id: str) -> str:
    """String with a TTL: who sweeps a dead node."""
    return f"node:{node_id}:sweep"


def device(did: str) -> str:
    """String with a TTL: `0`, the device's tokens are dead, or `1:GENERATION`, it is alive and the
    tokens of that generation were used. Where there is none, `session.check` knows."""
    return f"device:{did}"


def guesses(source: str) -> str:
    """Sorted set with a TTL: the failed sign-ins of a source, by time."""
    return f"guesses:{{{source}}}"


def guessed_names(source: str) -> str:
    """Sorted set with a TTL: the names, hashed, at which a source failed, by time."""
    return f"guessed:{{{source}}}"


def guesses_at(source: str, name: str) -> str:
    """Sorted set with a TTL: the failed sign-ins of a source at one name, by time. What people type
    does not become part of a key: it is hashed."""
    return f"guesses_at:{{{source}}}:{hashed(name)}"


def registrations(source: str) -> str:
    """String with a TTL: the accounts that a source made in this hour."""
    return f"registrations:{source}"


def hashed(text: str) -> str:
    """What stands in keys for a text that somebody made up."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def first_messages(uid: str) -> str:
    """String with a TTL: how many strangers this person wrote to first of late."""
    return f"first:{uid}"


def typing(conv: str, uid: str) -> str:
    """String with a TTL: a typing signal passed a moment ago."""
    return f"typing:{conv}:{uid}"


def events_dead(function: str) -> str:
    """Stream: the events that this subscriber failed to handle."""
    return f"events:dead:{function}"


def presence(uid: str) -> str:
    """Hash: what was last told of a person's presence."""
    return f"presence:{uid}"
