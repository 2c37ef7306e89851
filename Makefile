# The two commands: `make demo` and `make test`. Both make .venv first, and only when it is out of date.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ROOT ?= demo
ARGS ?=
FLAVOUR ?= cpu
# The image to build on, by its digest; else what docker/Dockerfile names.
BASE ?=
KFP_CONFIG ?= digits
# kserve replaces setuptools by an old one, so it gets an environment of its own.
KSERVE := .venv-kserve

.DEFAULT_GOAL := help
.PHONY: help demo test kserve image image-test lock e2e lint format schema clean

help:
	@echo "make demo    install, then run the digits pipeline and publish a model into ./$(ROOT)"
	@echo "make test    install, then lint, type-check and run all tests (ARGS='-k name' to choose)"
	@echo "make kserve  install the model server that 'make test' then asks, too, into $(KSERVE) (0.5 GB)"
	@echo "make image   build the image of all steps, list its contents (FLAVOUR=cpu, gpu or cli); needs Docker"
	@echo "make image-test  run the whole pipeline in the image that 'make image' built"
	@echo "make lock    write docker/requirements-*.txt anew, with the newest versions that fit"
	@echo "make e2e     KFP_HOST=URL KFP_ROOT=gs://… [KFP_CONFIG=FILE]: submit, load, schedule on a real Kubeflow"
	@echo "make lint    ruff and mypy alone"
	@echo "make format  ruff's formatter"
	@echo "make schema  write docs/config.schema.json and docs/configuration.md anew"
	@echo "make clean   remove .venv, $(KSERVE), ./$(ROOT) and caches"

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "aegan needs Python 3.11 or newer, found " + sys.version.split()[0] + "; set PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/aegan run digits --root $(ROOT)

# In the order of collection, so that the long modules begin first and no worker waits for them at the end.
test: lint
	$(if $(wildcard $(KSERVE)/.installed),AEGAN_KSERVE_PYTHON=$(CURDIR)/$(KSERVE)/bin/python) \
	$(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder $(ARGS)

kserve: $(KSERVE)/.installed

$(KSERVE)/.installed:
	$(PYTHON) -m venv $(KSERVE)
	$(KSERVE)/bin/python -m pip install --quiet kserve==0.21.0 onnxruntime==1.32.0
	@touch $@

image:
	$(PYTHON) docker/image.py --flavour $(FLAVOUR) $(if $(BASE),--base $(BASE))

image-test: $(VENV)/.installed
	AEGAN_TEST_IMAGE=$$($(BIN)/python docker/image.py --name) $(BIN)/python -m pytest tests/image $(ARGS)

lock: $(VENV)/.installed
	$(BIN)/python docker/lock.py

e2e: $(VENV)/.installed
	@test -n "$(KFP_HOST)" -a -n "$(KFP_ROOT)" || { echo "set KFP_HOST=URL KFP_ROOT=gs://bucket/path"; exit 2; }
	KFP_HOST=$(KFP_HOST) KFP_ROOT=$(KFP_ROOT) KFP_CONFIG=$(KFP_CONFIG) $(BIN)/python -m pytest -k real_kubeflow tests/integration/test_e2e.py $(ARGS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schema: $(VENV)/.installed
	$(BIN)/python -m aegan.config_file > docs/config.schema.json
	$(BIN)/python -m aegan.config_reference > docs/configuration.md

clean:
	rm -rf $(VENV) $(KSERVE) $(ROOT) .pytest_cache .mypy_cache .ruff_cache
