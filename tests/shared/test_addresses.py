"""Which network an address is of."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.addresses import UNKNOWN, source


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        (" 192.0.2.77 ", "192.0.2.0/24"),
        ("::ffff:192.0.2.1", "192.0.2.0/24"),
        ("::FFFF:c000:201", "192.0.2.0/24"),
        ("64:ff9b::192.0.2.9", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:DB8::1]", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_networks(address: str, network: str) -> None:
    assert source(address) == network


@pytest.mark.parametrize(
    "address",
    [None, "", "x", "192.0.2", "192.0.2.1:80", "192.0.2.0/24", "1.2.3.4, 5.6.7.8", "::1::"],
)
def test_nonsense_is_one_source(address: str | None) -> None:
    assert source(address) == UNKNOWN


@given(st.ip_addresses(), st.ip_addresses())
def test_two_are_of_one_source_where_their_network_is_the_same(one: object, other: object) -> None:
    assert source(str(one)) != UNKNOWN
    network = ipaddress.ip_network(source(str(one)))
    if source(str(one)) == source(str(other)):
        assert type(network) is type(ipaddress.ip_network(source(str(other))))
    assert source(str(network.network_address)) == source(str(one))


@given(st.text(max_size=60))
def test_whatever_is_given_there_is_a_source(text: str) -> None:
    assert source(text)
