# Every target does all of its own set-up, in .venv, and needs only Python 3.11 (or newer) and make.
#
#   make demo    the user guide's two examples on a simulated rack, narrated
#   make test    what a change has to pass: lint, tests, coverage of the pure parts
#   make lint    ruff, mypy, import contracts
#   make bench   measurements
#   make storm   a million steps of storm, and Sieve's perturbations at every place, written into docs/storm.md (half an hour; STEPS=, SEED=)
#   make cluster       a real Kubernetes cluster of two nodes on this machine (root, Linux, Go); make cluster-down ends it
#   make test-cluster  the tests that need one, which they bring up and end; KUBERNETES=1.33.13 on the oldest release
#   make image         an OCI archive of nvdra, without Docker
#   make docs    the generated pages of docs/

VENV   ?= .venv
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action=ignore -c constraints.txt
DEV     = $(shell $(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"])')
PYTEST ?= $(BIN)/python -m pytest
KUBERNETES ?= 1.37.2
STEPS  ?= 1000000
SEED   ?= 1

# Parts without a clock and without IO: nothing in them is left to judgement, so every branch is tested.
PURE   := nvdra/core/*,nvdra/draw/*,nvdra/domains/*/facts.py,nvdra/domains/*/snapshot.py

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench storm docs clean cluster cluster-binaries cluster-down test-cluster image

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/.runs
	$(BIN)/nvdra sim demo

test: lint
	$(PYTEST) --cov=nvdra.core --cov=nvdra.draw --cov=nvdra.domains --cov-branch --cov-report=
	$(BIN)/coverage report --include='$(PURE)' --fail-under=100

lint: $(VENV)/.develops
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports setup.cfg

bench: $(VENV)/.develops
	$(BIN)/python -m tests.bench $(PARTS)

storm: $(VENV)/.runs
	$(BIN)/nvdra sim storm --seed $(SEED) --steps $(STEPS) --quiet --folder storms --doc docs/storm.md
	$(BIN)/nvdra sim sieve --quiet --doc docs/storm.md

cluster: $(VENV)/.develops
	@$(BIN)/python -m tests.cluster.bed up --kubernetes $(KUBERNETES)

cluster-binaries: $(VENV)/.develops
	@for version in $(KUBERNETES); do $(BIN)/python -m tests.cluster.bed build --kubernetes $$version || exit 1; done

cluster-down: $(VENV)/.develops
	@$(BIN)/python -m tests.cluster.bed down

test-cluster: $(VENV)/.develops
	NVDRA_CLUSTER_KUBERNETES=$(KUBERNETES) $(PYTEST) -m cluster tests/cluster tests/e2e

image: $(VENV)/.develops
	@$(BIN)/python -m tests.cluster.image

docs: $(VENV)/.runs
	$(BIN)/nvdra statechart pages docs

clean:
	rm -rf $(VENV) .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

# Stamps, not the folder: a set-up that was interrupted is begun again, and one that is complete is used again.
$(VENV)/.runs: constraints.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer found; say which with PYTHON=/path/to/python3" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo "make: $(PYTHON) cannot make a virtual environment; Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing what nvdra needs to run (once)"
	@$(PIP) hatchling editables
	@$(PIP) --no-build-isolation -e '.[sim]'
	@touch $@

$(VENV)/.develops: $(VENV)/.runs
	@echo "installing what nvdra needs to be developed (once)"
	@$(PIP) $(DEV)
	@touch $@
