"""JSON schemas for kubeconform, made from packages: it would fetch them from the network.

Kubernetes' come with the package `kubernetes-validate`, the Gateway API's with its Go module. Both
are put into the form kubeconform reads: one file a kind, complete in itself, and no field allowed
that the schema does not know.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

KUBERNETES = "1.37.0"
KINDS = (
    "configmap-v1",
    "deployment-apps-v1",
    "horizontalpodautoscaler-autoscaling-v2",
    "networkpolicy-networking-v1",
    "poddisruptionbudget-policy-v1",
    "service-v1",
)
GATEWAY_API = "gateway.networking.k8s.io_httproutes.yaml"


def kubernetes(package: Path, target: Path) -> None:
    """Writes the schemas of the chart's kinds; `package` is where the Python package is."""
    folder = package / "kubernetes_validate/kubernetes-json-schema" / f"v{KUBERNETES}-local-strict"
    definitions = json.loads(_pointing_inside((folder / "_definitions.json").read_text()))["$defs"]
    for kind in KINDS:
        schema = json.loads(_pointing_inside((folder / f"{kind}.json").read_text()))
        schema.pop("$id")  # or its references were looked for there
        (target / f"{kind}.json").write_text(json.dumps(schema | {"$defs": definitions}))


def _pointing_inside(text: str) -> str:
    return text.replace('"/api/_definitions.json#/', '"#/')


def gateway_api(module: Path, target: Path) -> None:
    """Writes the schema of the HTTPRoute; `module` is the folder of sigs.k8s.io/gateway-api."""
    crd = yaml.safe_load((module / "config/crd/standard" / GATEWAY_API).read_text())
    for version in crd["spec"]["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        _forbid_unknown(schema["properties"]["spec"])
        (target / f"httproute-gateway-{version['name']}.json").write_text(json.dumps(schema))


def _forbid_unknown(schema: Any) -> None:
    if isinstance(schema, list):
        for each in schema:
            _forbid_unknown(each)
    elif isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
        for each in schema.values():
            _forbid_unknown(each)


if __name__ == "__main__":
    _, package, module, target = sys.argv
    Path(target).mkdir(parents=True, exist_ok=True)
    kubernetes(Path(package), Path(target))
    gateway_api(Path(module), Path(target))
