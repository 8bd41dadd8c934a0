"""What NetworkPolicies come to: who may open a connection to whom, as Kubernetes reads them."""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Manifest = dict[str, Any]


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod with its labels and named ports, or an address outside."""

    name: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    address: str = ""


def may(policies: Iterable[Manifest], source: End, target: End, port: int, protocol: str) -> bool:
    """Whether both ends' policies let it through. A pod that no policy of a direction selects is
    free in that direction."""
    policies = list(policies)
    return all(
        _lets(policies, own, other, direction, target, port, protocol)
        for own, other, direction in ((source, target, "Egress"), (target, source, "Ingress"))
    )


def _lets(
    policies: list[Manifest],
    own: End,
    other: End,
    direction: str,
    target: End,
    port: int,
    protocol: str,
) -> bool:
    about = [
        each
        for each in policies
        if own.namespace == each["metadata"]["namespace"]
        and direction in each["spec"]["policyTypes"]
        and selects(each["spec"]["podSelector"], own.labels)
    ]
    peers, key = ("to", "egress") if direction == "Egress" else ("from", "ingress")
    return not about or any(
        _names(rule.get(peers), other, each["metadata"]["namespace"])
        and _opens(rule.get("ports"), target, port, protocol)
        for each in about
        for rule in each["spec"].get(key) or ()
    )


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    expressions = selector.get("matchExpressions", ())
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        _holds(each, labels) for each in expressions
    )


def _holds(expression: Manifest, labels: Mapping[str, str]) -> bool:
    value, operator = labels.get(expression["key"]), expression["operator"]
    if operator in ("Exists", "DoesNotExist"):
        return (value is not None) == (operator == "Exists")
    assert operator in ("In", "NotIn")
    return (value in expression["values"]) == (operator == "In")


def _names(peers: list[Manifest] | None, end: End, home: str) -> bool:
    return not peers or any(_is(peer, end, home) for peer in peers)


def _is(peer: Manifest, end: End, home: str) -> bool:
    if "ipBlock" in peer:
        network = ipaddress.ip_network(peer["ipBlock"]["cidr"])
        return bool(end.address) and ipaddress.ip_address(end.address) in network
    if not end.namespace:
        return False
    if "namespaceSelector" in peer:
        of_namespace = {"kubernetes.io/metadata.name": end.namespace, "name": end.namespace}
        if not selects(peer["namespaceSelector"], of_namespace):
            return False
    elif end.namespace != home:
        return False
    return selects(peer.get("podSelector", {}), end.labels)


def _opens(ports: list[Manifest] | None, target: End, port: int, protocol: str) -> bool:
    return not ports or any(
        each.get("protocol", "TCP") == protocol
        and (target.ports.get(each["port"]) if isinstance(each["port"], str) else each["port"])
        == port
        for each in ports
    )
