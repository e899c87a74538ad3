# BrokerLab: two commands matter, `make lab` and `make test`; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
UV     := $(VENV)-lock/bin/uv
COMPILE := $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help lab env dev test check notebooks docs bench lock jars clean

help: ## list what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

lab: $(VENV)/ready ## open the course in JupyterLab (ARGS=--no-browser for a server)
	@$(BIN)/brokerlab prefetch
	cd notebooks && exec jupyter lab index.ipynb $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

env: $(VENV)/ready ## create the environment alone, in .venv

dev: $(VENV)/ready-dev ## the environment with the tools that tests and builds need

test: $(VENV)/ready-dev ## test everything that this machine can run
	@$(BIN)/brokerlab prefetch
	$(BIN)/python tests/run.py $(ARGS)

check: $(VENV)/ready-dev ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

notebooks: $(VENV)/ready-dev ## build notebooks/ from lessons/ (ARGS="04" for one lesson)
	$(BIN)/python lessons/build.py $(ARGS)

docs: $(VENV)/ready-dev ## build site/: the lessons as pages to read, without a network (ARGS="--to DIR")
	$(BIN)/python lessons/publish.py $(ARGS)

bench: $(VENV)/ready-dev ## measure beside the alternatives (see benchmarks/README.md)
	$(BIN)/python benchmarks/run.py $(ARGS)

lock: ## for maintainers: resolve the dependencies again and lock their hashes
	@test -x $(UV) || { $(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install -q uv; }
	$(COMPILE) --extra install --extra test pyproject.toml -o requirements.lock
	$(COMPILE) --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(COMPILE) -c requirements.lock deploy/requirements.in -o deploy/requirements.lock
	$(COMPILE) benchmarks/requirements.in -o benchmarks/requirements.lock

jars: $(VENV)/ready-dev ## for maintainers: resolve Kafka's jars again, lock their hashes, list their classes
	$(BIN)/python -m brokerlab.distribution.lock
	$(BIN)/python -m brokerlab.distribution.classlist

clean: ## remove the environment (the cache and running labs stay: see `brokerlab stop --all`)
	rm -rf $(VENV) $(VENV)-lock $(VENV)-bench

define need_python
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "BrokerLab needs Python 3.11 or newer and found $$($(PYTHON) --version 2>&1): install one, then call make with PYTHON=python3.x."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "This Python cannot create environments: run 'apt install python3-venv' (as root), then call make again."; exit 1; }
endef

# One line that counts, instead of several hundred.
define pip_progress
/^Collecting/ { printf "\r  package %d of at most %d ", ++n, all; fflush() } \
/^Installing collected/ { printf "\n  unpacking them ...\n"; fflush() }
endef

$(VENV)/ready: requirements.lock pyproject.toml helpers/jupyterlab/overrides.json
	$(need_python)
	@test -x $(BIN)/pip || { echo "Creating $(VENV) ..."; $(PYTHON) -m venv --clear $(VENV); }
	@echo "Installing the locked packages: the first time about 175 MB to fetch, 600 MB on disk."
	@$(BIN)/pip install --progress-bar off --disable-pip-version-check --require-hashes -r requirements.lock \
	    | awk -v all=$$(grep -c == requirements.lock) '$(pip_progress)'
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@mkdir -p $(VENV)/share/jupyter/lab/settings
	@cp helpers/jupyterlab/overrides.json $(VENV)/share/jupyter/lab/settings/
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready requirements-dev.lock
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
