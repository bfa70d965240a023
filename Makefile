# `make demo` and `make test` need Python >= 3.11, git and make; they set up everything else in .venv.
PYTHON ?= python3
BIN := .venv/bin
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)

.PHONY: demo test lint lock mnist bench clean

demo: .venv/ready

test: .venv/ready
	$(BIN)/pytest -q

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/ready: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	command -v uv >/dev/null || test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode --no-deps -r requirements.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $@

# Pinned versions for every platform, without an index address in the file.
lock: | $(BIN)/uv
	$(UV) pip compile --quiet --universal --no-annotate --no-header --python-version 3.11 --group dev pyproject.toml -o requirements.txt
