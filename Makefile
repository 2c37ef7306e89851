# The two commands: `make demo` and `make test`. Both make .venv first, and only when it is out of date.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ROOT ?= demo
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint format schema clean

help:
	@echo "make demo    install, then run the digits pipeline and publish a model into ./$(ROOT)"
	@echo "make test    install, then lint, type-check and run all tests (ARGS='-k name' to choose)"
	@echo "make lint    ruff and mypy alone"
	@echo "make format  ruff's formatter"
	@echo "make schema  write docs/config.schema.json anew"
	@echo "make clean   remove .venv, ./$(ROOT) and caches"

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "aegan needs Python 3.11 or newer, found " + sys.version.split()[0] + "; set PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/aegan run digits --root $(ROOT)

test: lint
	$(BIN)/python -m pytest -n auto --dist loadscope $(ARGS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schema: $(VENV)/.installed
	$(BIN)/python -m aegan.config_file > docs/config.schema.json

clean:
	rm -rf $(VENV) $(ROOT) .pytest_cache .mypy_cache .ruff_cache
