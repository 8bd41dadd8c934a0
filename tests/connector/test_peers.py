"""Whose address is believed."""

import pytest
from multidict import CIMultiDict

from connector import peers
from connector.peers import Peers, place

PROXY = ("10.0.0.1", 4711)


def address(trusted: str, peername: object, *lines: str) -> str:
    headers = CIMultiDict([("X-Forwarded-For", line) for line in lines])
    return Peers(trusted).address(peername, headers)


@pytest.mark.parametrize(
    ("trusted", "lines", "expected"),
    [
        ("", ["1.2.3.4"], "10.0.0.1"),
        ("10.0.0.0/8", [], "10.0.0.1"),
        ("10.0.0.0/8", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        (" 192.168.0.0/16 , 10.0.0.0/8 ,", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.2", ["1.2.3.4"], "10.0.0.1"),
        # What the client made up stands left of what the proxy wrote.
        ("10.0.0.0/8", ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.0/8", ["10.0.0.9, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.0/8", ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        ("10.0.0.0/8", ["6.6.6.6, 7.7.7.7", "1.2.3.4, 10.0.0.7"], "1.2.3.4"),
        # Proxies behind each other.
        ("10.0.0.0/8", ["1.2.3.4, 10.0.0.7, 10.9.9.9"], "1.2.3.4"),
        ("10.0.0.0/8", ["1.2.3.4, 11.0.0.7, 10.9.9.9"], "11.0.0.7"),
        ("10.0.0.0/8", ["10.0.0.5, 10.0.0.7"], "10.0.0.5"),
        # Nonsense is not read past.
        ("10.0.0.0/8", [""], "10.0.0.1"),
        ("10.0.0.0/8", ["1.2.3.4, "], "10.0.0.1"),
        ("10.0.0.0/8", ["1.2.3.4, unknown"], "10.0.0.1"),
        ("10.0.0.0/8", ["1.2.3.4, <script>, 10.0.0.7"], "10.0.0.7"),
        ("10.0.0.0/8", ["garbage, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.0/8", ["1.2.3.4.5"], "10.0.0.1"),
        # IPv6.
        ("10.0.0.0/8", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.0/8", ["[2001:db8::1]"], "2001:db8::1"),
        ("10.0.0.0/8", ["::ffff:1.2.3.4"], "1.2.3.4"),
        ("10.0.0.0/8", ["1.2.3.4, ::ffff:10.0.0.3"], "1.2.3.4"),
    ],
)
def test_whom_a_proxy_speaks_for(trusted: str, lines: list[str], expected: str) -> None:
    assert address(trusted, PROXY, *lines) == expected


@pytest.mark.parametrize(
    ("trusted", "peername", "expected"),
    [
        ("", ("2001:DB8:0::1", 1, 0, 0), "2001:db8::1"),
        ("", ("fe80::1%eth0", 1, 0, 3), "fe80::1"),
        ("", ("::ffff:5.6.7.8", 1, 0, 0), "5.6.7.8"),
        ("5.6.7.8", ("::ffff:5.6.7.8", 1, 0, 0), "1.1.1.1"),
        ("2001:db8::/32", ("2001:db8::7", 1, 0, 0), "1.1.1.1"),
        ("10.0.0.0/8", ("2001:db8::7", 1, 0, 0), "2001:db8::7"),
        ("10.0.0.0/8", "", ""),
        ("10.0.0.0/8", None, ""),
        ("10.0.0.0/8", ("a socket file",), ""),
        ("10.0.0.0/8", (), ""),
    ],
)
def test_where_a_socket_comes_from(trusted: str, peername: object, expected: str) -> None:
    assert address(trusted, peername, "1.1.1.1") == expected


@pytest.mark.parametrize("trusted", ["10.0.0.0/33", "proxy.example", "10.0.0.1; 10.0.0.2"])
def test_proxies_that_are_none_are_refused(trusted: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        Peers(trusted)


def test_one_household_is_one_place() -> None:
    assert place("2001:db8:1:2::3") == place("2001:db8:1:2:ffff::9")
    assert place("2001:db8:1:2::3") != place("2001:db8:1:3::3")
    assert place("1.2.3.4") != place("1.2.3.5")
    assert place("") == ""


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, ""),
        ("Stonechat/1 (iOS)", "Stonechat/1 (iOS)"),
        ("a\r\nb\x00c\u202ed", "abcd"),
        ("x" * 201, "x" * 200),
    ],
)
def test_an_agent_is_printable_and_not_long(header: str | None, expected: str) -> None:
    assert peers.agent(header) == expected
