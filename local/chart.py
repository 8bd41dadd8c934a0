"""What the Helm chart needs to know of stack.yml: `python -m local.chart`.

Helm reads nothing outside of its folder, so the facts of each function (annotations, secrets,
environment, resources) are written to `infra/helm/stonechat/files/functions.yaml`, in the chart's
own terms. Scale bounds are not: an engine's limits are its own.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
CHART = ROOT / "infra" / "helm" / "stonechat"
FUNCTIONS = CHART / "files" / "functions.yaml"
_HEADER = "# Written by `make reference` from stack.yml.\n"


def functions() -> dict[str, dict[str, Any]]:
    """The facts of every function of stack.yml, by name."""
    listed = yaml.safe_load((ROOT / "stack.yml").read_text())["functions"]
    return {name: _facts(each) for name, each in sorted(listed.items())}


def _facts(function: dict[str, Any]) -> dict[str, Any]:
    resources = {key: function[key] for key in ("requests", "limits") if function.get(key)}
    facts = {
        "annotations": function["annotations"],
        "secrets": function.get("secrets", []),
        "environment": function.get("environment", {}),
        "resources": resources,
    }
    return {name: value for name, value in facts.items() if value}


def written() -> str:
    """The file's text."""
    return _HEADER + yaml.safe_dump(functions(), width=1000, default_flow_style=False)


def main() -> int:
    FUNCTIONS.write_text(written())
    return 0


if __name__ == "__main__":
    sys.exit(main())
