# Python 3.11 or newer, pip and make are all that is needed; everything else goes into .venv.

PYTHON ?= python3
FRAMEWORKS ?=  # ,tensorflow,torch: the tests that need them run too
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
ROOMS := regraft passes frontends targets models tests

.PHONY: demo test test-slow lint bench clean

demo: .venv/demo
	$(BIN)/regraft demo

test: .venv/test
	$(BIN)/pytest -n auto

test-slow: .venv/test
	$(BIN)/pytest -n auto -m slow

lint: .venv/lint
	$(BIN)/ruff check $(ROOMS)
	$(BIN)/ruff format --check $(ROOMS)
	$(BIN)/mypy

bench: .venv/bench
	$(BIN)/python -m tests.benchmarks.large --out benchmarks-out
	$(BIN)/python -m tests.benchmarks.scale
	$(BIN)/python -m tests.benchmarks.fp16 --out benchmarks-out
	$(BIN)/python -m tests.benchmarks.fp16_accuracy --out benchmarks-out
	$(BIN)/python -m tests.benchmarks.saved_model --out benchmarks-out

clean:
	rm -rf .venv .demo benchmarks-out build *.egg-info

# Installed again when the dependencies may have changed; the sources are used where they lie.
.venv/demo: EXTRAS = demo
.venv/test: EXTRAS = demo,test$(FRAMEWORKS)
.venv/lint: EXTRAS = demo,test,lint
.venv/bench: EXTRAS = demo,bench,tensorflow

.venv/demo .venv/test .venv/lint .venv/bench: pyproject.toml
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(PIP) --editable '.[$(EXTRAS)]'
	touch $@
