# The whole tool chain needs Python 3.11 or newer and make. `make` alone tells what there is.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
JOBS ?= auto
BROKERS ?= 3
SYSTEMS ?= 2
SECS ?= 600
MUTATION := .venv-mutation
MUTANTS ?= $(shell nproc)

.PHONY: help venv demo oncall-demo test test-all chaos mutation fuzz lint format bench screenshots docs clean

help:  ## Tell what can be made
	@sed -n 's/^\([a-z][a-z-]*\):.*  ## \(.*\)/  make \1@\2/p' Makefile | column -t -s @

venv: $(STAMP)  ## Create .venv with exactly the locked packages

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

oncall-demo: $(STAMP)  ## Play a carrier's outage up to the one page that arrives, through Prometheus and Alertmanager
	$(BIN)/python -m agents.oncall_demo $(ARGS)

demo: $(STAMP)  ## Run the demo on a real Kafka of its own (make demo ARGS=--once ends by itself)
	$(BIN)/returnwatch demo $(ARGS)

# What needs no broker keeps every core busy. What needs one mostly waits, so more run side by side than there are
# cores, each process with a broker of its own and one test after the other, the long ones first. What keeps the cores
# busy stands back for it. Whole systems come when both are through: held up by others, they play their worlds again,
# slower. Each part runs even if one before it fails: one run tells everything.
define run_tests
failed=0; told=$$(mktemp); \
nice $(BIN)/pytest -q -n $(JOBS) --dist worksteal -m "not kafka$(1)" $(if $(2),--ignore tests/system) >"$$told" 2>&1 & busy=$$!; \
trap 'kill $$busy 2>/dev/null || :; rm -f "$$told"' EXIT; \
$(BIN)/pytest -q -n $(BROKERS) --maxschedchunk 1 -m "kafka$(1)" --ignore tests/system || failed=1; \
wait $$busy || failed=1; cat "$$told"; \
$(2) \
exit $$failed
endef
# In the order of their names, so that the longest do not come last; what shares a fixture stays together.
run_systems = $(BIN)/pytest -q -n $(SYSTEMS) --dist loadfile --no-loadscope-reorder tests/system || failed=1;

test: $(STAMP)  ## Run the tests, the quick ones on a real Kafka included
	$(call run_tests, and not slow and not system)

test-all: $(STAMP) lint  ## Run lint and every test, the slow ones and whole systems included
	$(call run_tests,,$(run_systems))

chaos: $(STAMP)  ## Look for trouble for longer: kills, pauses, outages (make chaos SECS=600)
	RETURNWATCH_TEST_CHAOS_SECONDS=$(SECS) RETURNWATCH_TEST_OUTAGE_SECONDS=$(SECS) $(BIN)/pytest -q -s tests/chaos
	RETURNWATCH_TEST_PARCELS=50000 $(BIN)/pytest -q -s tests/scenarios/test_carrier_outage.py
	RETURNWATCH_TEST_RETURNS=20000 RETURNWATCH_TEST_KILLS=20 RETURNWATCH_TEST_SECONDS=$(SECS) RETURNWATCH_TEST_FEEDS=1 \
		$(BIN)/pytest -q -s tests/system/test_killed_anywhere.py
	RETURNWATCH_TEST_MISTAKES=all $(BIN)/pytest -q tests/system/test_mutants.py

# Always from the beginning: what mutmut remembers of a run does not hold when a test has become weaker.
mutation: $(MUTATION)/.installed  ## Change the rules in every small way: a test has to fail each time
	rm -rf mutants
	$(MUTATION)/bin/mutmut run --max-children $(MUTANTS)
	$(MUTATION)/bin/python -m tests.mutation.survivors

# Apart from $(VENV): mutmut and faust-streaming do not agree on click.
$(MUTATION)/.installed: requirements-mutation.lock
	test -x $(MUTATION)/bin/pip || $(PYTHON) -m venv $(MUTATION)
	$(MUTATION)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-mutation.lock
	@touch $@

fuzz: $(STAMP)  ## Look for bytes that break what reads them: SECS a target (make fuzz SECS=600 ARGS="adapters --keep")
	$(BIN)/python -m tests.fuzz --seconds $(SECS) --found . $(ARGS)

lint: $(STAMP)  ## Check style, types and the borders between the rooms
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## Put the code into the common form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(STAMP)  ## Measure (make bench ARGS=... picks one)
	$(BIN)/python -m benchmarks $(ARGS)

screenshots: $(STAMP)  ## Take the pictures of the board anew (docs/images/board-*.png; needs chromium)
	$(BIN)/python -m tests.board_screenshots

docs: $(STAMP)  ## Write what is generated anew: contracts, pages of settings and rules, budgets' alerts, dashboards
	$(BIN)/python -m schemas.contracts_generation
	$(BIN)/python -m agents.settings_reference
	$(BIN)/python -m agents.rules_reference
	$(BIN)/python -m agents.slo_rules
	$(BIN)/python -m agents.adapters_reference
	$(BIN)/python -m agents.dashboards
	$(BIN)/python -m agents.kubernetes_manifests
	$(BIN)/python -m agents.access_reference
	$(BIN)/python -m tests.wiring_page

clean:  ## Remove what can be made again, .venv included
	rm -rf $(VENV) $(MUTATION) mutants build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .returnwatch
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
