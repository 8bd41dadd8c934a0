"""What a method can do with its call."""

from local.stack import Stack
from shared import conversation
from shared.call import Call, Caller
from shared.ids import new_id
from shared.states import states


def test_whose_first_entry_is_no_message_have_the_conversation_listed(stores: Stack) -> None:
    alice, bob = new_id(), new_id()
    conv = conversation.direct(alice, bob)
    call = Call("poll.create", None, Caller(alice), "c1")
    assert call.append(conv, "poll", {}).seq == 1
    for uid in (alice, bob):
        assert list(states().of([uid])[1][uid]) == [conv]
