"""Every Redis key, spelled once. All of it is soft state: Stonechat survives its loss."""

NODES = "nodes"  # set: ids of connector nodes
EVENTS = "events"  # stream: domain events, in batches (see `events`)
MESSAGE_EVENTS = "events:message"  # stream: those of messages, which are many


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


def revoked(device: str) -> str:
    """String with a TTL: the device's access tokens are dead."""
    return f"revoked:{device}"


def attempts(username: str) -> str:
    """String with a TTL: failed sign-ins of late."""
    return f"attempts:{username}"


def attempts_pause(username: str) -> str:
    """String with a TTL: the next sign-in must wait."""
    return f"attempts:{username}:pause"


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
