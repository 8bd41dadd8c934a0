#!/usr/bin/env bash
# Installs what tests of the chart need into .tools: helm and kubeconform (Go programs), and the
# schemas, which come in a Python package and a Go module.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v go >/dev/null || { echo "Go is not there" >&2; exit 1; }
tools=$PWD/.tools python=.venv/bin/python

GOBIN=$tools/bin go install helm.sh/helm/v3/cmd/helm@v3.22.0
GOBIN=$tools/bin go install github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
gateway=$(go mod download -json sigs.k8s.io/gateway-api@v1.4.0 |
  "$python" -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')

package=$(mktemp -d)
trap 'rm -rf "$package"' EXIT
.venv/bin/uv pip install -q --python "$python" --target "$package" \
  --require-hashes -r tests/infra/requirements.lock
"$python" -m tests.infra.schemas "$package" "$gateway" "$tools/schemas"
