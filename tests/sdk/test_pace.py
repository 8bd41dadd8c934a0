"""A client that keeps its pace is never refused by the server's own limit."""

from hypothesis import given
from hypothesis import strategies as st
from stonechat.pace import Pace

from connector.limits import Rate
from connector.session import Refused
from tests.connector import outlets

FRAME = b'{"jsonrpc":"2.0","id":1,"method":"user.get","params":{}}'
OPENING = 3  # calls before the session is open


@given(
    st.floats(1, 2000),
    st.integers(40, 500),
    st.lists(st.tuples(st.floats(0, 0.5), st.integers(0, 80)), max_size=40),
    st.floats(0, 2),
)
def test_the_server_takes_all_that_the_pace_lets_out(
    rate: float, burst: int, steps: list[tuple[float, int]], delay: float
) -> None:
    server = outlets.session(limits=outlets.limits(calls=Rate(rate, burst)))
    for _ in range(OPENING):
        server.receive(FRAME, 0.0)
    pace, now, out = Pace(rate, burst, 0.0), 0.0, 0
    for pause, wanted in steps:
        now += pause
        for _ in range(wanted):
            if pace.take(now):
                out += 1
                assert not isinstance(server.receive(FRAME, now + delay), Refused)
    assert out >= min(1, sum(wanted for _, wanted in steps))


def test_what_waits_goes_out_when_the_pace_says() -> None:
    pace, now = Pace(10, 40, 0.0), 0.0
    while pace.take(now):
        pass
    wait = pace.wait(now)
    assert wait > 0
    assert not pace.take(now + wait / 2)
    assert pace.take(now + wait + 1e-6)
