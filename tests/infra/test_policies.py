"""Who may open a connection to whom, over all the chart's pods and strangers beside them."""

from typing import Any

import pytest

from tests.infra import chart
from tests.infra.chart import FULL, STORES, Chart, parse, render
from tests.infra.policies import End, may

if LEFT_OUT := chart.absent("helm"):
    pytest.skip(LEFT_OUT, allow_module_level=True)

HOME = "chat"
STORE_PORTS = (6379, 27017, 8333)
PORTS = [(port, "TCP") for port in (22, 53, 443, 8001, 8080, 8081, *STORE_PORTS)]
PORTS += [(53, "UDP"), (6379, "UDP")]
STRANGERS = {
    "store": End("store", HOME, {"app": "valkey"}),
    "neighbour": End("neighbour", HOME, {"app.kubernetes.io/name": "shop"}),
    "other": End("other", HOME, {"app.kubernetes.io/name": "stonechat"}),
    "client": End("client", "gateway", {"app": "envoy"}),
    "monitoring": End("monitoring", "monitoring"),
    "dns": End("dns", "kube-system", {"k8s-app": "kube-dns"}),
    "gateway": End("gateway", "openfaas", {"app": "gateway"}),
    "away": End("away", address="10.1.2.3"),
    "partner": End("partner", address="10.2.0.9"),
    "internet": End("internet", address="203.0.113.7"),
}
CASES = [
    pytest.param(mode, values, id=f"{mode}-{name}")
    for mode in ("plain", "openfaas")
    for name, values in (("default", STORES), ("full", FULL))
]


def ends(rendered: Chart) -> dict[str, End]:
    """The chart's pods."""
    return {
        name: End(
            name,
            HOME,
            rendered.pods()[name]["metadata"]["labels"],
            {each["name"]: each["containerPort"] for each in container["ports"]},
        )
        for name, _, container in rendered.containers()
    }


def kind(name: str) -> str:
    return name.removeprefix("stonechat-").split("-")[0]


def meant(source: str, target: str, port: int, protocol: str, mode: str, full: bool) -> bool:
    """What the documentation promises."""
    if protocol == "UDP":
        return target == "dns" and port == 53
    match kind(source), kind(target):
        case (("connector" | "router" | "fn"), "dns"):
            return port == 53
        case "connector", "router":
            return port == 8080
        case "router", "fn":
            return port == 8080
        case (("connector" | "fn"), "away") if full:
            return port == 6379
        case (("connector" | "fn"), ("store" | "neighbour")) if not full:
            return port in STORE_PORTS
        case "connector", "gateway":
            return mode == "openfaas" and port == 8080
        case "fn", "partner":
            return full and source == "stonechat-fn-poll" and port == 443
        case "client", "connector":
            return full and port == 8001
        case "client", "router":
            return full and port == 8081
        case "monitoring", "connector":
            return full and port == 8001
        case "monitoring", "fn":
            return full and port == 8080
    return False


@pytest.mark.parametrize(("mode", "values"), CASES)
def test_nothing_is_open_but_what_is_meant_to_be(mode: str, values: dict[str, Any]) -> None:
    rendered = Chart(parse(render(values | {"mode": mode})))
    policies = list(rendered.all("NetworkPolicy").values())
    for policy in policies:
        policy["metadata"]["namespace"] = HOME
    ours = ends(rendered)
    everybody = ours | STRANGERS
    wrong = [
        (source, target, port, protocol)
        for source in everybody
        for target in everybody
        for port, protocol in PORTS
        if source in ours or target in ours
        if may(policies, everybody[source], everybody[target], port, protocol)
        != meant(source, target, port, protocol, mode, values is FULL)
    ]
    assert wrong == []


def test_without_policies_all_is_open() -> None:
    free = Chart(parse(render(STORES | {"networkPolicy": {"enabled": False}})))
    assert free.all("NetworkPolicy") == {}
    assert may([], STRANGERS["internet"], ends(free)["stonechat-connector"], 8001, "TCP")
