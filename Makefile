# make up | test | test-infra | test-openfaas | lint | clean; everything else is below them.
#
#   make up STACK=two       a second system beside the first, in .local-two, on ports of its own
#   make clean STACK=two    removes what it has kept
PYTHON ?= python3
CONNECTORS ?= 1
STACK ?=
FOLDER := .local$(if $(STACK),-$(STACK))
PY := .venv/bin/python
UV := .venv/bin/uv
# Nothing is installed but what a lock has the hash of.
INSTALL := $(UV) pip install -q --python $(PY) --compile-bytecode --require-hashes
LOCK := $(UV) pip compile -q --universal --python-version 3.11 --upgrade \
  --no-header --no-annotate --generate-hashes
ROUNDS ?= 1

.PHONY: up fast-store reference test test-infra test-openfaas bench faults lint format lock install clean distclean

up: .venv/installed
	@exec $(PY) -m local up --connectors $(CONNECTORS) $(if $(STACK),--stack "$(STACK)")

# A document store that is ten times as fast, where Rust is installed.
fast-store:
	@bash local/fast-store.sh

test: .venv/installed
	@$(PY) -m pytest -rs -n 2 --dist loadfile

# The Helm chart, by helm and kubeconform, which Go installs into .tools.
test-infra: .venv/installed
	@bash tests/infra/tools.sh || echo "helm and kubeconform could not be installed: unless they are there, what needs them is left out"
	@PATH="$(CURDIR)/.tools/bin:$$PATH" $(PY) -m pytest -rs tests/infra

# The real faas-cli, gateway and of-watchdog, which Go installs into .tools; nothing to run without.
test-openfaas: .venv/installed
	@if bash tests/openfaas/tools.sh; then \
	  PATH="$(CURDIR)/.tools/bin:$$PATH" $(PY) -m pytest -rs tests/openfaas; \
	else \
	  echo "OpenFaaS' programs could not be installed: their tests are left out"; \
	fi

# Beside ejabberd where it is installed; BENCH_INSTALL_PEERS=yes installs it (Debian, as root).
bench: .venv/installed
	@bash local/fast-store.sh || echo "the faster document store could not be built: the one in Python is measured"
	@$(INSTALL) -r benchmarks/requirements.lock
	$(PY) -m benchmarks all

faults: .venv/installed
	ROUNDS=$(ROUNDS) $(PY) -m pytest -v tests/system/faults

lint: .venv/installed
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && $(PY) -m tests.leaks

format: .venv/installed
	.venv/bin/ruff check --fix . && .venv/bin/ruff format .

reference: .venv/installed
	$(PY) -m tests.record
	$(PY) -m local.reference
	$(PY) -m local.chart
	$(PY) -m local.licences

# All locks anew, the small ones with the versions of the large one.
lock: .venv/installed
	$(LOCK) -o requirements.lock pyproject.toml sdk/python/pyproject.toml \
	  --extra connector --extra dev --extra cli --group local --no-emit-package secantusdb
	$(LOCK) -o template/stonechat/requirements.lock -c requirements.lock pyproject.toml
	$(LOCK) -o infra/connector.lock -c requirements.lock pyproject.toml --extra connector
	$(LOCK) -o benchmarks/requirements.lock -c requirements.lock pyproject.toml --extra bench
	echo kubernetes-validate==1.37.0 | $(LOCK) -o tests/infra/requirements.lock -c requirements.lock -
	echo uv | $(LOCK) -o requirements-uv.lock -

install: .venv/installed

# Not while it runs: the lock is held then.
clean:
	@if [ -e "$(FOLDER)/lock" ] && ! $(PYTHON) -c 'import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)' "$(FOLDER)/lock" 2>/dev/null; then \
	  echo "a stack runs in $(FOLDER) (process $$(cat "$(FOLDER)/lock")): stop it first"; exit 1; \
	fi
	rm -rf "$(FOLDER)"

distclean: clean
	rm -rf .venv .tools .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Bytecode is compiled here, so that the first start is as fast as the second. Two packages come
# without a hash, and without what they need: the SDK, which is ours, and the group `local`.
.venv/installed: pyproject.toml requirements.lock requirements-uv.lock sdk/python/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Stonechat needs Python 3.11 or newer, as in: make PYTHON=python3.12")'
	@echo "installing into .venv (once)"
	@$(PYTHON) -m venv .venv
	@$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements-uv.lock
	@$(INSTALL) -r requirements.lock
	@$(UV) pip install -q --python $(PY) --compile-bytecode --no-deps --no-build-isolation --group local -e sdk/python
	@touch $@
