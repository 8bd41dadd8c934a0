"""What the Helm chart needs to know of stack.yml: `python -m local.chart`.

Helm reads nothing outside of its folder, so each function's annotations and secrets are written to
`infra/helm/stonechat/files/functions.yaml`. Resources, threads and scale bounds are not: they are
the chart's own values.
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
    return {"annotations": function["annotations"], "secrets": function["secrets"]}


def written() -> str:
    """The file's text."""
    return _HEADER + yaml.safe_dump(functions(), width=1000, default_flow_style=False)


def main() -> int:
    FUNCTIONS.write_text(written())
    return 0


if __name__ == "__main__":
    sys.exit(main())
