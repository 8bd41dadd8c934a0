#!/usr/bin/env bash
# Builds SecantusDB's server in Rust (a GPL-2.0 program of its own, never linked) into .tools, once.
# It takes some five minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
test -x .tools/bin/secantusd-rs && exit
command -v cargo >/dev/null || { echo "Rust's cargo is not there" >&2; exit 1; }

# Old releases leave the registry, hence a range. They ask for a newer Rust than they need.
cargo install secantus-mdb --version '>=0.5.3-beta.180, <0.6' --ignore-rust-version \
  --root .tools --no-track --quiet
