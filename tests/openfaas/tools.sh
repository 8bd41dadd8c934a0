#!/usr/bin/env bash
# Installs OpenFaaS' own programs (Go) into .tools: faas-cli, the gateway, of-watchdog.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v go >/dev/null || { echo "Go is not there" >&2; exit 1; }

for program in faas-cli of-watchdog faas/gateway; do
  command -v "${program##*/}" >/dev/null && continue
  GOBIN=$PWD/.tools/bin go install "github.com/openfaas/$program@latest"
done
