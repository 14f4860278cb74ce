# Everything a person runs; `make` alone lists the targets.
# Needs only Python >= 3.11 and a package index: uv itself comes from there, into .venvs/uv.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The first interpreter that starts and is new enough; a name on the PATH may be a shim with nothing behind it.
newer_than = $(firstword $(shell for python in $(2); do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < $(1))' 2>/dev/null && echo "$$python"; done; true))
PYTHON ?= $(call newer_than,(3$(comma)11),python3 python3.13 python3.12 python3.11)
PYTHON313 ?= $(call newer_than,(3$(comma)13),python3.13 $(wildcard $(HOME)/.pyenv/versions/3.13*/bin/python3.13))
comma := ,

UV_VERSION := 0.13.9
UV := .venvs/uv/bin/uv
BIN := .venv/bin
ONCE ?=
DAGS ?=
RULES ?=
FULL ?=
SCENES := $(if $(FULL),-m "full or not full" --hypothesis-profile full)
export AIRFLOW_VERSION ?= 3.3.1

.PHONY: help run down setup test test-full check test-fast test-simulation simulate guarantees baselines benchmark benchmark-feeds test-template test-3.13 test-in-process test-local-stack test-local-parts test-airflow-all format lock clean

help:  ## List the targets
	@grep -hE '^[a-z0-9.-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

run: .venv/.ready .venvs/lambda/.ready  ## Run the whole gateway on this machine; ONCE=1 stops after the demo; DAGS=dags/ RULES=rules/ uses yours
	@$(BIN)/mwaa-gateway local demo $(if $(ONCE),--once) $(if $(DAGS),--dags-folder "$(DAGS)") $(if $(RULES),--rules "$(RULES)")

down:  ## Stop a running local stack
	@$(BIN)/mwaa-gateway local down

test: .venv/.ready  ## Run every check, and test every promise at a small size: ten minutes
	@echo "Three parts run at once: the deployed gateway, the local parts, and the checks with all other tests. Each prints its result when it ends."
	@$(MAKE) --jobs=3 --output-sync=target --keep-going test-local-stack test-local-parts test-in-process

test-full:  ## The same at full size, with new examples, also on Python 3.13: before a release
	@$(MAKE) test FULL=1

test-in-process: .venv/.ready  ## Run the checks, and the tests that need no other process, one after the other
	@status=0; for tests in check test-fast test-simulation test-template $(if $(FULL),test-3.13); do $(MAKE) $$tests || status=1; done; exit $$status

setup: .venv/.ready .venvs/lambda/.ready .venvs/sam/.ready .venvs/checkov/.ready  ## Make the locked environments

check: .venv/.ready  ## Style, types, the layers of imports, and plain English
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/plain_english.py

COVERAGE := $(if $(FULL),--cov --cov-report=term --cov-fail-under=90)
test-fast: .venv/.ready  ## Unit and integration tests; FULL=1 with branch coverage, which takes half as long again
	$(BIN)/pytest tests/unit tests/integration -n 2 $(SCENES) $(COVERAGE)

test-simulation: .venv/.ready  ## Test the promises under every fault: twelve seeds (FULL=1: a hundred), every crash point, each safeguard off, every AWS error
	$(BIN)/pytest tests/simulation tests/sweep -n 2 --maxschedchunk 1 -q $(SCENES)

SEEDS ?= 1000
simulate: .venv/.ready  ## Simulate more seeds: make simulate SEEDS=1000
	$(BIN)/python tests/simulation/replay.py 0 --seeds $(SEEDS) --processes 2

baselines: .venv/.ready  ## Print the README's table: what other strategies lose and double on the same days
	$(BIN)/python tests/simulation/baselines.py

benchmark: .venv/.ready .venvs/lambda/.ready  ## Measure how fast events find their rules, and the cost of an event and a cold start; a quarter of an hour
	$(BIN)/python -m benchmarks.routing
	$(BIN)/python -m benchmarks.ingest
	$(BIN)/python -m benchmarks.cold_start
	$(BIN)/python -m benchmarks.hops

benchmark-feeds: .venv/.ready .venvs/lambda/.ready  ## Measure feeds on the local stack: 12,000 uploads to one run, 1,000 open batches; a quarter of an hour
	$(BIN)/python -m benchmarks.feeds

STORM ?= --pictures docs/pictures
benchmark-storm: .venv/.ready .venvs/lambda/.ready  ## Measure storms over rest, web and cli on the local stack; about an hour
	$(BIN)/python -m benchmarks.storm $(STORM)

TESTS ?= tests/unit tests/integration tests/simulation tests/sweep tests/template tests/local_parts tests/local_stack
guarantees: .venv/.ready .venvs/sam/.ready .venvs/lambda/.ready  ## Run the tests that docs/guarantees.md names, and rewrite it; TESTS=tests/simulation runs a part
	@status=0; for tests in $(TESTS); do \
		$(BIN)/pytest $$tests --guarantees -m "full or not full" -q $$([[ $$tests == *local_stack* ]] || printf -- '-n 2') || status=1; done; \
	$(BIN)/python tests/guarantees/page.py; exit $$status

test-template: .venv/.ready .venvs/sam/.ready .venvs/checkov/.ready  ## Test what template.yaml deploys: lint, expanded checks, permissions
	$(BIN)/pytest tests/template -n 2 --dist loadfile $(SCENES)

ifneq ($(PYTHON313),)
test-3.13: .venvs/python3.13/.ready  ## Unit and integration tests on the Lambda runtime's Python, if available
	.venvs/python3.13/bin/pytest tests/unit tests/integration -n 2 $(SCENES)
else
test-3.13:
	@echo "Python 3.13, the Lambda runtime's version, was not found, so its tests are skipped."
endif

test-local-stack: .venv/.ready .venvs/lambda/.ready  ## Test the deployed gateway against real Airflow
	$(BIN)/pytest tests/local_stack $(SCENES)

test-local-parts: .venv/.ready .venvs/lambda/.ready  ## Test the parts of the local stack: MiniStack's contract, Airflow behind MWAA's API, its command
	$(BIN)/pytest tests/local_parts $(SCENES)

AIRFLOW_VERSIONS ?=
KEEP_AIRFLOW ?=
export AIRFLOW_VERSIONS KEEP_AIRFLOW
test-airflow-all: .venv/.ready  ## Test all transports on every Airflow that MWAA offers, or on AIRFLOW_VERSIONS="2.7.2 3.0.6"; KEEP_AIRFLOW=1 keeps what it installs
	$(BIN)/pytest tests/airflow_versions -q

format: .venv/.ready  ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: $(UV)  ## Renew uv.lock and the files generated from it
	$(UV) lock
	$(UV) export --quiet --only-group functions --no-emit-project --output-file layers/dependencies/requirements.txt

clean:  ## Remove the environments and the local stack's files
	rm -rf .venv .venvs .local .aws-sam

# --- environments: one lock, one folder each ---------------------------------------------------------------------

$(UV):
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found: install one, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@echo "Fetching uv $(UV_VERSION) …"
	@$(PYTHON) -m venv .venvs/uv
	@.venvs/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

sync = UV_PROJECT_ENVIRONMENT=$(1) $(UV) sync --quiet --locked --python "$(2)" $(3) && touch $(1)/.ready
inputs := pyproject.toml uv.lock | $(UV)

.venv/.ready: $(inputs)
	@echo "Making .venv (the operator's command, the local stack, the tests) …"
	@$(call sync,.venv,$(PYTHON),--group dev)

.venvs/python3.13/.ready: $(inputs)
	@echo "Making .venvs/python3.13 …"
	@$(call sync,.venvs/python3.13,$(PYTHON313),--group dev)

.venvs/lambda/.ready: $(inputs)
	@echo "Making .venvs/lambda (what a Lambda sandbox holds) …"
	@$(call sync,.venvs/lambda,$(or $(PYTHON313),$(PYTHON)),--only-group lambda)

.venvs/sam/.ready .venvs/checkov/.ready: .venvs/%/.ready: $(inputs)
	@echo "Making .venvs/$* …"
	@$(call sync,.venvs/$*,$(PYTHON),--only-group $*)
