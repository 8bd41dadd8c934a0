# make up | test | lint | clean; everything else is below them.
PYTHON ?= python3
CONNECTORS ?= 1
PY := .venv/bin/python

.PHONY: up test lint lock clean install

up: .venv/installed
	@exec $(PY) -m local up --connectors $(CONNECTORS)

test: .venv/installed
	$(PY) -m pytest

lint: .venv/installed
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

install: .venv/installed

lock: .venv/installed
	.venv/bin/uv pip compile -q pyproject.toml sdk/python/pyproject.toml --extra dev --extra cli --universal --no-header -o requirements.lock

clean:
	rm -rf .local

.venv/installed: pyproject.toml requirements.lock sdk/python/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Stonechat needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q --disable-pip-version-check uv
	.venv/bin/uv pip install -q --python $(PY) -r requirements.lock -r pyproject.toml --extra local -e "sdk/python[cli]"
	@touch $@
