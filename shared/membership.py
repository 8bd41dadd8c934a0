"""Who belongs to a conversation, and so may read and write it."""

from shared.conversation import Conversation, parse
from shared.errors import CallError, Reason, invalid_params


def require_member(uid: str, conv: str) -> Conversation:
    """The conversation, of which `uid` is a member. Raises `not_a_member` in all other cases, so
    that an answer tells nobody which conversations exist."""
    conversation = parse(conv)
    if conversation is None:
        raise invalid_params(["conv"], "not the name of a conversation")
    if conversation.kind == "g" or uid not in conversation.ids:
        raise CallError(Reason.NOT_A_MEMBER)
    return conversation
