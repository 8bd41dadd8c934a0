"""The chart as helm renders it: what a cluster would be given."""

import json
import subprocess
from typing import Any

import pytest
import yaml

from connector import routes
from local.chart import CHART, functions
from shared.secretfiles import CONNECTOR_KEY, SIGNING_PUBLIC
from tests.infra import chart
from tests.infra.chart import FULL, STORES, Chart, RefusedError, environment, parse, render, secrets

if LEFT_OUT := chart.absent("helm"):
    pytest.skip(LEFT_OUT, allow_module_level=True)

MODES = ("plain", "openfaas")
RENDERINGS = [(mode, values) for mode in MODES for values in ("default", "full")]


NO_PATHS = ("hook", "/", "//a", "/a//b", "/../a", "/a/..", "/a;b", "/a b", "/a{}", "/é", "/a\n/b")


def plain_with_raw(path: str) -> dict[str, Any]:
    annotations = {"topic": "stonechat", "stonechat.raw": path}
    extra = {"poll": {"image": "poll:1", "annotations": annotations}}
    return STORES | {"mode": "plain", "functions": {"extra": extra}}


@pytest.fixture(scope="module", params=RENDERINGS, ids="-".join)
def rendered(request: pytest.FixtureRequest) -> Chart:
    mode, values = request.param
    return Chart(parse(render((FULL if values == "full" else STORES) | {"mode": mode})))


@pytest.fixture(scope="module")
def plain() -> Chart:
    return Chart(parse(render(FULL | {"mode": "plain"})))


@pytest.fixture(scope="module")
def openfaas() -> Chart:
    return Chart(parse(render(FULL | {"mode": "openfaas"})))


@pytest.mark.parametrize("mode", MODES)
def test_lint_has_no_complaint(mode: str) -> None:
    said = chart.helm("lint", str(CHART), "--strict", values=FULL | {"mode": mode})
    assert "0 chart(s) failed" in said


@pytest.mark.parametrize(("mode", "values"), RENDERINGS)
def test_every_manifest_fits_its_schema(mode: str, values: str) -> None:
    folder = chart.schemas()
    if folder is None or chart.absent("kubeconform"):
        pytest.skip("left out, as kubeconform and its schemas are not there: make test-infra")
    text = render((FULL if values == "full" else STORES) | {"mode": mode})
    location = f"{folder}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    command = ["kubeconform", "-strict", "-summary", "-output", "json"]
    done = subprocess.run(
        [*command, "-schema-location", location],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    result = json.loads(done.stdout)
    assert result.get("resources") == []
    assert result["summary"] == {
        "valid": len(parse(text)),
        "invalid": 0,
        "errors": 0,
        "skipped": 0,
    }


def test_nothing_is_named_twice(rendered: Chart) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in rendered.manifests]
    assert len(names) == len(set(names))
    assert [name for _, name in names if len(name) > 63] == []


def test_no_secret_is_made(rendered: Chart) -> None:
    assert rendered.all("Secret") == {}
    assert "secretKeyRef" not in yaml.safe_dump(rendered.manifests)


def test_every_pod_is_confined(rendered: Chart) -> None:
    for name, spec, container in rendered.containers():
        assert spec["automountServiceAccountToken"] is False, name
        # Or a Service named stonechat-connector would set STONECHAT_CONNECTOR_PORT.
        assert spec["enableServiceLinks"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}, name
        for bound in ("requests", "limits"):
            assert set(container["resources"][bound]) == {"cpu", "memory"}, name


def test_every_volume_is_mounted_and_there(rendered: Chart) -> None:
    for name, spec, container in rendered.containers():
        volumes = {each["name"]: each for each in spec["volumes"]}
        assert set(volumes) == {each["name"] for each in container["volumeMounts"]}, name
        for each in volumes.values():
            if "configMap" in each:
                assert each["configMap"]["name"] in rendered.all("ConfigMap"), name


def test_every_pod_is_probed_at_its_port_and_stops_gracefully(rendered: Chart) -> None:
    for name, spec, container in rendered.containers():
        ports = {each["name"] for each in container["ports"]}
        for probe in ("readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] in ports, name
        _, pause = container["lifecycle"]["preStop"]["exec"]["command"]
        assert spec["terminationGracePeriodSeconds"] > int(pause) + 10, name


def test_services_select_one_deployment_and_name_its_port(rendered: Chart) -> None:
    containers = {name: container for name, _, container in rendered.containers()}
    for name, service in rendered.all("Service").items():
        (deployment,) = rendered.selected(service["spec"]["selector"])
        ports = {each["name"]: each["containerPort"] for each in containers[deployment]["ports"]}
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"], name


def test_every_deployment_selects_itself_and_may_be_disrupted_one_at_a_time(
    rendered: Chart,
) -> None:
    budgets = rendered.all("PodDisruptionBudget")
    assert set(budgets) == set(rendered.all("Deployment"))
    for name, deployment in rendered.all("Deployment").items():
        assert rendered.selected(deployment["spec"]["selector"]["matchLabels"]) == [name]
        assert budgets[name]["spec"]["maxUnavailable"] == 1
        assert rendered.selected(budgets[name]["spec"]["selector"]["matchLabels"]) == [name]
        assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_who_is_scaled_has_no_number_of_its_own(rendered: Chart) -> None:
    deployments = rendered.all("Deployment")
    scaled = rendered.all("HorizontalPodAutoscaler")
    for name, each in scaled.items():
        assert each["spec"]["scaleTargetRef"]["name"] == name
        assert 2 <= each["spec"]["minReplicas"] <= each["spec"]["maxReplicas"]
    for name, deployment in deployments.items():
        assert ("replicas" in deployment["spec"]) == (name not in scaled), name
        assert deployment["spec"].get("replicas", 2) >= 2, name


def test_routes_lead_to_ports_there_are(rendered: Chart) -> None:
    services = rendered.all("Service")
    for route in rendered.all("HTTPRoute").values():
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                ports = services[backend["name"]]["spec"]["ports"]
                assert backend["port"] in [port["port"] for port in ports]


def shown(rendered: Chart) -> dict[str, tuple[str, str, int]]:
    """What the route leads outside, by path: how it matches, to which Service and port."""
    (route,) = rendered.all("HTTPRoute").values()
    found = {}
    for rule in route["spec"]["rules"]:
        (match,), (backend,) = rule["matches"], rule["backendRefs"]
        found[match["path"]["value"]] = match["path"]["type"], backend["name"], backend["port"]
    return found


def test_clients_reach_connectors_and_declared_raw_routes_alone(
    plain: Chart, openfaas: Chart
) -> None:
    doors = dict.fromkeys(("/v1", "/v1/rpc"), ("Exact", "stonechat-connector", 8001))
    raw = {
        f"/function/poll{path}": ("PathPrefix", "stonechat-router", 8081)
        for path in ("/hook", "/in/form")
    }
    assert shown(openfaas) == doors
    assert shown(plain) == doors | raw


def test_connectors_drain_before_they_are_killed(rendered: Chart) -> None:
    pod = rendered.pods()["stonechat-connector"]["spec"]
    (container,) = pod["containers"]
    drain = int(environment(container)["STONECHAT_DRAIN_TIMEOUT"])
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= pause + drain + 10
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "websocket"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "websocket"}
    assert environment(container)["STONECHAT_CONNECTOR_HOST"] == "0.0.0.0"


def test_plain_mode_runs_every_function_with_its_secrets_alone(plain: Chart) -> None:
    listed = functions() | FULL["functions"]["extra"]
    running = {
        name.removeprefix("stonechat-fn-"): pod["spec"]
        for name, pod in plain.pods().items()
        if name.startswith("stonechat-fn-")
    }
    assert set(running) == set(listed)
    for name, spec in running.items():
        assert secrets(spec) == {*listed[name]["secrets"], "stores"}, name
    assert plain.all("Deployment")["stonechat-fn-send"]["spec"]["replicas"] == 4
    (poll,) = running["poll"]["containers"]
    assert poll["image"] == "registry.example.com/poll:1"
    (send,) = running["send"]["containers"]
    assert send["image"] == "registry.example.com/stonechat/send:0.1.0"


def test_plain_mode_routes_as_stack_yml_says(plain: Chart) -> None:
    written = json.loads(plain.all("ConfigMap")["stonechat-routes"]["data"]["routes.json"])
    expected = {name: each["annotations"] for name, each in functions().items()}
    assert written == expected | {"poll": FULL["functions"]["extra"]["poll"]["annotations"]}
    assert routes.build(written, routes.Routes()).methods["message.send"].function == "send"
    spec = plain.pods()["stonechat-connector"]["spec"]
    (container,) = spec["containers"]
    variables = environment(container)
    assert variables["STONECHAT_ROUTES_FILE"] == "/etc/stonechat/routes.json"
    assert variables["STONECHAT_GATEWAY_URL"] == "http://stonechat-router:8080"
    assert secrets(spec) == {SIGNING_PUBLIC, CONNECTOR_KEY, "stores"}


def test_a_new_function_restarts_no_connector(plain: Chart) -> None:
    fewer = FULL | {"mode": "plain", "functions": {}}
    before = Chart(parse(render(fewer))).pods()
    assert before["stonechat-connector"] == plain.pods()["stonechat-connector"]
    assert before["stonechat-router"] != plain.pods()["stonechat-router"]


def test_openfaas_mode_leaves_the_functions_to_faas_cli(openfaas: Chart) -> None:
    assert set(openfaas.pods()) == {"stonechat-connector"}
    spec = openfaas.pods()["stonechat-connector"]["spec"]
    (container,) = spec["containers"]
    variables = environment(container)
    assert variables["STONECHAT_GATEWAY_URL"] == "http://gateway.openfaas.svc.cluster.local:8080"
    assert "STONECHAT_ROUTES_FILE" not in variables
    assert secrets(spec) == {SIGNING_PUBLIC, CONNECTOR_KEY, "basic-auth", "stores"}


def test_connectors_are_restarted_by_settings_and_by_no_release_of_the_chart(plain: Chart) -> None:
    text = yaml.safe_dump(plain.pods()["stonechat-connector"])
    assert "helm.sh/chart" not in text
    changed = Chart(parse(render(FULL | {"settings": {"LOG_LEVEL": "debug"}})))
    assert changed.pods()["stonechat-connector"] != plain.pods()["stonechat-connector"]


def test_two_releases_live_side_by_side() -> None:
    one, other = (
        {(each["kind"], each["metadata"]["name"]) for each in parse(render(FULL, release))}
        for release in ("stonechat", "staging")
    )
    assert one.isdisjoint(other)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({}, "say where the stores are"),
        (STORES | {"mode": "swarm"}, "mode"),
        (STORES | {"conector": {}}, "conector"),
        ({"stores": {"redisUrl": "redis://:secret@valkey", "mongoUrl": "mongodb://m"}}, "redisUrl"),
        (STORES | {"functions": {"overrides": {"sned": {"replicas": 1}}}}, "sned"),
        (STORES | {"functions": {"extra": {"poll": {"image": "poll:1"}}}}, "no annotations"),
        (STORES | {"route": {"enabled": True}}, "parentRefs"),
        (STORES | {"route": {"functions": True}}, "functions"),
        (STORES | {"route": {"enabled": True, "parentRefs": [{"name": "a"}]}}, "may come in"),
        (STORES | {"networkPolicy": {"clients": [{}]}}, "clients"),
        (STORES | {"networkPolicy": {"stores": [{"ports": [{"port": 6379}]}]}}, "stores"),
        (STORES | {"functions": {"overrides": {"send": {"egress": [{"to": []}]}}}}, "egress"),
        *((plain_with_raw(path), "is no path of a raw route") for path in NO_PATHS),
    ],
)
def test_mistakes_are_refused(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RefusedError, match=complaint):
        render(values)
