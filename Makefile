# `make help` lists the targets. The environment is made when it is missing; to use one that is
# active already, say PYTHON=python.

EXP       ?=
DATA      ?=
CKPT      ?=
OVERRIDES ?=
WORKERS   ?= 2

VENV        ?= .venv
BASE_PYTHON ?= python3
TORCH_SPEC  ?= torch==2.13.0
TORCH_ARGS  ?=
READERS     ?= .venv-readers
BLENDER     ?= .venv-blender
BLENDER_PYTHON ?= python3.11

ifdef PYTHON
READY :=
TOOLS :=
PAGES :=
else
PYTHON := $(VENV)/bin/python
READY  := $(VENV)/.stamp
TOOLS  := $(VENV)/.stamp-dev
PAGES  := $(VENV)/.stamp-docs
endif

PIP = $(VENV)/bin/python -m pip --quiet --disable-pip-version-check
# What is imported once is compiled for good, also where the environment says otherwise: torch and
# Lightning take 15 seconds of it.
unexport PYTHONDONTWRITEBYTECODE
LIFTING = $(PYTHON) -m lifting.cli.main
ARGUMENTS = $(if $(DATA),--data $(DATA)) $(OVERRIDES)
EXPERIMENTS := $(sort $(filter-out base,$(patsubst experiments/%.yaml,%,$(wildcard experiments/*.yaml))))
DATASETS := $(sort $(patsubst experiments/data/%.yaml,%,$(wildcard experiments/data/*.yaml)))

.DEFAULT_GOAL := help
.PHONY: help setup train evaluate predict test slow coverage smoke bench docs readers blender viewer browser lint format typecheck clean names

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  EXP=NAME        experiment: $(EXPERIMENTS)"
	@echo "  DATA=NAME       another data set for it: $(DATASETS)"
	@echo "  CKPT=FILE       weights for evaluate and predict; default: the newest run of EXP"
	@echo "  OVERRIDES='..'  key=value ..., for example 'trainer.max_epochs=3 resume=true'"
	@echo "  WORKERS=2       processes of the tests, one thread each"
	@echo "  PYTHON=python   use the active environment instead of $(VENV)"
	@echo "  TORCH_ARGS='..' arguments for pip when it installs torch, for example an index of CPU"
	@echo "                  wheels on a machine without a GPU"

setup: $(VENV)/.stamp ## make the environment in .venv; tools for developers come when needed

train: names $(READY) ## train EXP and score it on its test split
	$(LIFTING) train $(EXP) $(ARGUMENTS)

evaluate: names $(READY) ## score CKPT, or the newest run of EXP
	$(LIFTING) test $(EXP) $(if $(CKPT),--checkpoint $(CKPT)) $(ARGUMENTS)

predict: names $(READY) ## write the 3D poses of the test split to an npz file
	$(LIFTING) predict $(EXP) $(if $(CKPT),--checkpoint $(CKPT)) $(ARGUMENTS)

# A test file stays with one worker: its fixtures are made once, and no two processes share threads.
test: $(TOOLS) ## run the tests (not those marked slow or gpu, not the smoke tests)
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -q --ignore tests/smoke -n $(WORKERS) --dist loadfile

slow: $(TOOLS) ## run the tests that take minutes each
	OMP_NUM_THREADS=1 WANDB_MODE=offline $(PYTHON) -m pytest -q -m "slow and not gpu" -n $(WORKERS)

coverage: $(TOOLS) ## run the same tests and print which share of the statements they reach
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -q --ignore tests/smoke -n $(WORKERS) --dist loadfile \
	  --cov=lifting --cov-report=term:skip-covered

smoke: $(TOOLS) ## train, test and predict every experiment for two steps
	OMP_NUM_THREADS=1 WANDB_MODE=offline $(PYTHON) -m pytest -q tests/smoke -n $(WORKERS)

bench: $(READY) ## measure what operations cost; tables go to benchmarks/
	$(PYTHON) benchmarks/run.py --write benchmarks

docs: $(PAGES) ## build the pages of docs/ into docs/_build; warnings are errors
	OMP_NUM_THREADS=1 WANDB_MODE=offline $(PYTHON) -m sphinx -W --keep-going -q -b html docs docs/_build

readers: $(READERS)/.stamp ## programs of others that read exported files back, in an environment of their own (0.5 GB)

blender: $(BLENDER)/.stamp ## the same with Blender, which needs Python 3.11 and numpy 1 (1 GB)

lint: $(TOOLS) ## check style
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

format: $(TOOLS) ## correct style
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

typecheck: $(TOOLS) ## check types
	$(PYTHON) -m mypy

viewer: ## make the page of the viewer anew from its source; needs node
	cd lifting/visualization/viewer/source && npm ci --no-audit --no-fund && npm run build

# Where one may not install for the system, a Chromium can be named: CHROMIUM=/path/to/it.
browser: ## install what the tests of the viewer drive: Chromium (Debian's) and packages of node
	@test -n "$$CHROMIUM" || command -v chromium >/dev/null || \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }
	cd tests/browser && npm ci --no-audit --no-fund --silent

clean: ## remove caches and build output; runs, data and .venv stay
	rm -rf build dist docs/_build docs/generated .coverage *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find lifting tests -type d -name __pycache__ -prune -exec rm -rf {} +

# Names are checked before an environment is made for nothing.
names:
	@$(BASE_PYTHON) .ci/check_names.py "EXP=$(EXP)" "$(EXPERIMENTS)" "DATA=$(DATA)" "$(DATASETS)"

# The stamps save the half minute that pip needs to find nothing to do. torch comes first, pinned:
# the project's own range would bring the newest one with its GPU libraries. Where there is no GPU,
# the constraints make pip stop rather than download them. What tests, checks and pages need is
# installed by the first target that asks for it, so that a training starts sooner; and pip would
# compile every module of torch, of which a training imports some: those of torch are compiled by
# a first import while pip fetches the rest.
$(VENV)/.stamp: pyproject.toml .ci/no_gpu_packages.txt
	@$(BASE_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "expected Python 3.11 or newer, got %d.%d; say BASE_PYTHON=python3.12" % sys.version_info[:2])'
	@echo "making $(VENV), which takes a few minutes the first time"
	test -x $(VENV)/bin/python || $(BASE_PYTHON) -m venv $(VENV)
	@if command -v nvidia-smi >/dev/null 2>&1; then limit=; \
	else limit="--constraint .ci/no_gpu_packages.txt"; fi; \
	set -x; $(PIP) install --no-compile $$limit $(TORCH_ARGS) "$(TORCH_SPEC)" || { \
	  set +x; echo >&2; \
	  echo "torch was not installed. Without an NVIDIA GPU, its GPU libraries are refused: name an" >&2; \
	  echo "index of CPU wheels, make $(MAKECMDGOALS) TORCH_ARGS='--index-url URL' (docs/guide/install.md)." >&2; \
	  exit 1; }
	@$(VENV)/bin/python -c "import torch._dynamo" >/dev/null 2>&1 & \
	  set -x; $(PIP) install --no-compile -e . || exit; wait
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp
	$(PIP) install --no-compile -e ".[dev]"
	@touch $@

$(VENV)/.stamp-docs: $(VENV)/.stamp
	$(PIP) install --no-compile -e ".[docs]"
	@touch $@

# Tests call these as processes, and skip where they are missing. Nothing of them is ours to ship.
$(READERS)/.stamp: tests/readers/requirements.txt
	test -x $(READERS)/bin/python || $(BASE_PYTHON) -m venv $(READERS)
	$(READERS)/bin/python -m pip --quiet --disable-pip-version-check install --no-compile -r $<
	@if command -v npm >/dev/null 2>&1; then \
	  set -x; npm install --silent --no-audit --no-fund --prefix $(READERS)/node three@0.187.0; \
	else echo "no npm: GLB is not read with three.js"; fi
	@touch $@

$(BLENDER)/.stamp:
	@command -v $(BLENDER_PYTHON) >/dev/null 2>&1 || { \
	  echo "expected Python 3.11 for Blender; say BLENDER_PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BLENDER)/bin/python || $(BLENDER_PYTHON) -m venv $(BLENDER)
	$(BLENDER)/bin/python -m pip --quiet --disable-pip-version-check install --no-compile "bpy==5.0.1" "numpy<2"
	@touch $@
