# Each line is one that a person could type. The first target that needs it makes the virtual environment.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Tests, benchmarks and studies wait for each other: a benchmark beside a study measures the study.
ALONE := $(BIN)/python tools/alone.py

.PHONY: help install quickstart test test-slow check bench study study-phases allocations format clean

help:            ## show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 14

install: $(VENV)/.installed  ## make the virtual environment with the tested versions

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

quickstart: install  ## one small experiment from end to end, without network
	$(BIN)/lorascope quickstart

check: install  ## lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check  ## check, then the fast tests
	$(ALONE) $(BIN)/python -m pytest

test-slow: install  ## the long tests
	$(ALONE) $(BIN)/python -m pytest -m slow

bench: install  ## every benchmark; the rows go to benchmarks/results/
	for file in benchmarks/*.py; do $(ALONE) $(BIN)/python $$file || exit 1; done

study: install  ## attention against MLP on the model inside lorascope: verdicts, tables, a page
	$(BIN)/lorascope study lora_sensitivity --jobs 2

study-phases: install  ## go on with the study of phases; its rows go to studies/phases/ (needs the lab's data)
	$(BIN)/python studies/phases/study.py

allocations: install  ## the study of allocations in small, on the model inside lorascope: tables, no evidence
	$(BIN)/python studies/allocation/small.py

format: install  ## put the code into the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:           ## remove the virtual environment and caches
	rm -rf $(VENV) build dist src/*.egg-info .mypy_cache .ruff_cache .hypothesis
