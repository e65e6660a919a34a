# Each target sets up what it needs in a private environment (.venv) and installs
# nothing outside it. A second run re-uses the environment until setup.cfg changes.
#
# Another interpreter gets an environment of its own: make test PYTHON=python3.12

PYTHON ?= python3
ifeq ($(origin PYTHON),file)
VENV ?= .venv
else
VENV ?= .venv-$(notdir $(PYTHON))
endif
BIN := $(VENV)/bin

MINUTES ?= 1
HOURS ?= 25
CLIENTS ?= 20
SEEDS ?= 1
JOBS ?=
SEED ?=
FILE ?=
ARGS ?=
# Three keep two processors busy: many tests wait for what they have started.
PROCESSES ?= 3
# QUICK=1 leaves out what takes long or needs other programs.
QUICK ?=
OTHERS ?=
quick_tests := $(if $(QUICK),-m "not soak and not benchmark and not slow and not packaging and not interop")

extras_demo := cli,server
extras_test := test,cli,server
extras_docs := docs,cli,server
extras_bench := bench,test
extras_peers := peers,test

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test peers check docs bench fuzz soak simulate test-floors test-pythons test-wheel clean
# Stamps are made by a pattern rule: without this line make would remove them again.
.PRECIOUS: $(VENV)/.stamp-%

help: ## show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1|/p' $(firstword $(MAKEFILE_LIST)) \
	| awk -F'|' '{ printf "  make %-13s %s\n", $$1, $$2 }'

demo: $(VENV)/.stamp-demo ## run a real server and clients on FILE=... (default: this README)
	@$(BIN)/python examples/demo.py $(if $(FILE),"$(FILE)")

test: $(VENV)/.stamp-test ## run the tests in PROCESSES=3; ARGS=... goes to pytest, QUICK=1 leaves out the slow ones
	@$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile $(quick_tests) $(ARGS)

peers: $(VENV)/.stamp-peers ## install gunicorn, uWSGI, Celery, ... beside the tests; without them some are skipped
	@$(BIN)/python -m tests.peers

check: $(VENV)/.stamp-test ## lint, format, types and layers
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy --strict rtmcore rtmsync
	$(BIN)/lint-imports --no-logo

docs: $(VENV)/.stamp-docs ## build the documentation; a warning is an error
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "The documentation is in docs/_build/html/index.html"

bench: $(VENV)/.stamp-bench ## compare with peers, write bench.json; ARGS=--quick for a short run
	@$(BIN)/python -m tests.benchmarks $(ARGS)

fuzz: $(VENV)/.stamp-test ## feed every decoder random input for MINUTES=..., from SEED=...
	@$(BIN)/python -m tests.fuzz --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

soak: $(VENV)/.stamp-test ## run the endurance tests for MINUTES=... each
	@RTM_SOAK_MINUTES=$(MINUTES) $(BIN)/python -m pytest -m soak --timeout=$$(($(MINUTES) * 60 + 600)) \
		-o faulthandler_timeout=0 $(ARGS)

simulate: $(VENV)/.stamp-test ## simulate HOURS=... of CLIENTS=... on a bad network, from SEED=..., SEEDS=... in JOBS=... processes
	@$(BIN)/python -m tests.simulation --hours $(HOURS) --clients $(CLIENTS) --seeds $(SEEDS) \
		$(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS)) $(ARGS)

test-floors: ## run the tests with the oldest supported version of each dependency
	@$(MAKE) test VENV=.venv-floors FLOORS=1

test-pythons: ## run the tests on each CPython 3.10 or later found here; OTHERS=1 without the default one
	@pythons=$$($(PYTHON) tests/tools/pythons.py $(if $(OTHERS),--others)); failed=; \
	if [ -z "$$pythons" ]; then echo "No $(if $(OTHERS),other )CPython 3.10 or later with the venv module is here: skipped."; fi; \
	for python in $$pythons; do \
		echo "--- $$python"; \
		$(MAKE) test PYTHON="$$python" || failed="$$failed $$python"; \
	done; \
	if [ -n "$$failed" ]; then echo "Tests failed on:$$failed"; exit 1; fi

test-wheel: $(VENV)/.stamp-test ## build the wheel, install it in a clean environment, run the tutorial there
	@$(BIN)/python -m tests.tools.wheel $(ARGS)

clean: ## remove environments, caches and everything built
	rm -rf .venv .venv-* build dist docs/_build *.egg-info bench.json
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find rtmcore rtmsync tests examples docs -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "There is no $(PYTHON) here. Install Python 3.10 or later (on Debian: apt-get install python3 python3-venv)" \
			"or name one: make PYTHON=/path/to/python3 ..."; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "$(PYTHON) is $$("$(PYTHON)" --version 2>&1); 3.10 or later is needed. Name one: make PYTHON=python3.11 ..."; \
		exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments. On Debian or Ubuntu run as root: apt-get install" \
			"$$("$(PYTHON)" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"; exit 1; }
	@echo "Making $(VENV) with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv $(VENV)
	@rm -f $(VENV)/.stamp-*

$(VENV)/.stamp-%: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV): $(subst $(comma),$(comma) ,$(extras_$*))$(if $(FLOORS), at the floor versions)"
	@$(if $(FLOORS),$(BIN)/python tests/tools/floors.py setup.cfg > $(VENV)/floors.txt)
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check \
		$(if $(FLOORS),--constraint $(VENV)/floors.txt) --editable ".[$(extras_$*)]"
	@touch $@

comma := ,
