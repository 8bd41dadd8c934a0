"""Channels that more than one part names. A function may make up others of its own."""

from shared.conversation import Conversation


def user(uid: str) -> str:
    """All sessions of a person, on every device."""
    return f"user:{uid}"


def group(gid: str) -> str:
    """All sessions of a group's members."""
    return f"group:{gid}"


def uid_of(channel: str) -> str | None:
    """Whose sessions are meant, where the channel is a person's."""
    return channel.removeprefix("user:") if channel.startswith("user:") else None


def presence(gid: str) -> str:
    """The sessions that watch the presence of a group's members."""
    return f"presence:{gid}"


def listeners(conversation: Conversation) -> tuple[str, ...]:
    """The channels that a conversation's entries go to."""
    if conversation.kind == "g":
        return (group(conversation.ids[0]),)
    return tuple(map(user, dict.fromkeys(conversation.ids)))
