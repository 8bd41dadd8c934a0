"""The chart, rendered by helm, as plain data."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from local.chart import CHART
from tests.infra.schemas import KUBERNETES

Manifest = dict[str, Any]

STORES = {"stores": {"redisUrl": "redis://valkey:6379/0", "mongoUrl": "mongodb://mongo:27017/"}}
# Everything that may be shown, shown.
FULL: dict[str, Any] = STORES | {
    "settingsSecret": "stores",
    "settings": {"LOG_LEVEL": "warning"},
    "image": {"registry": "registry.example.com/", "pullSecrets": [{"name": "pull"}]},
    "connector": {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"operator": "Exists"}]},
    "route": {
        "enabled": True,
        "parentRefs": [{"name": "public", "namespace": "gateway"}],
        "hostnames": ["chat.example.com"],
        "annotations": {"example.com/owner": "chat"},
    },
    "networkPolicy": {
        "clients": [{"namespaceSelector": {"matchLabels": {"name": "gateway"}}}],
        "monitoring": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "stores": [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": [{"port": 6379}]}],
    },
    "functions": {
        "extra": {
            "poll": {
                "image": "registry.example.com/poll:1",
                "annotations": {
                    "topic": "stonechat",
                    "stonechat.methods": "poll.create",
                    "stonechat.raw": "/hook, /in/form/",
                },
                "secrets": ["stonechat-connector-public", "stonechat-metrics-token"],
                "egress": [
                    {"to": [{"ipBlock": {"cidr": "10.2.0.0/16"}}], "ports": [{"port": 443}]}
                ],
            }
        },
        "overrides": {"send": {"autoscaling": {"enabled": False}, "replicas": 4}},
    },
}


class RefusedError(Exception):
    """Helm would not render it."""


def helm(*arguments: str, values: Mapping[str, Any]) -> str:
    """What helm prints. Raises `RefusedError` with what it complains of."""
    program = shutil.which("helm")
    assert program is not None
    command = [program, *arguments, "--kube-version", KUBERNETES, "--values", "-"]
    done = subprocess.run(
        command, input=json.dumps(values), capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        raise RefusedError(done.stdout + done.stderr)
    return done.stdout


def render(values: Mapping[str, Any], release: str = "stonechat") -> str:
    """The manifests as text."""
    return helm("template", release, str(CHART), "--namespace", "chat", values=values)


def parse(text: str) -> list[Manifest]:
    return [each for each in yaml.safe_load_all(text) if each]


class Chart:
    """One rendering, by kind and name."""

    def __init__(self, manifests: list[Manifest]) -> None:
        self.manifests = manifests

    def all(self, kind: str) -> dict[str, Manifest]:
        return {each["metadata"]["name"]: each for each in self.manifests if each["kind"] == kind}

    def pods(self) -> dict[str, Manifest]:
        """The pod templates, by deployment."""
        return {name: each["spec"]["template"] for name, each in self.all("Deployment").items()}

    def selected(self, labels: Mapping[str, str]) -> list[str]:
        """The deployments whose pods have these labels."""
        return [
            name
            for name, pod in self.pods().items()
            if labels.items() <= pod["metadata"]["labels"].items()
        ]

    def containers(self) -> Iterator[tuple[str, Manifest, Manifest]]:
        """Deployment's name, pod spec and its one container."""
        for name, pod in self.pods().items():
            (container,) = pod["spec"]["containers"]
            yield name, pod["spec"], container


def environment(container: Manifest) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["env"]}


def secrets(spec: Manifest) -> set[str]:
    """The Secrets a pod mounts."""
    (volume,) = (each for each in spec["volumes"] if each["name"] == "secrets")
    return {source["secret"]["name"] for source in volume["projected"]["sources"]}


def absent(*programs: str) -> str:
    """Why a test of these programs must be left out, or nothing."""
    missing = [program for program in programs if shutil.which(program) is None]
    return f"left out, without {' and '.join(missing)}: make test-infra" if missing else ""


def schemas() -> Path | None:
    """Where `make test-infra` puts the schemas."""
    folder = CHART.parent.parent.parent / ".tools" / "schemas"
    return folder if folder.is_dir() else None
