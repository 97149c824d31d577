# Every target sets up what it needs in .venv, on a machine that has only Python (3.11 to 3.13) and make.
#   make test PYTHON=python3.12     uses that interpreter instead of the first that will do
#   make test ARGS="tests/test_lasso.py -n 0 -k kink"

ARGS ?=
BIN := .venv/bin

# Compilation dominates the tests and examples: keep what was compiled. One BLAS thread: two of them stall each other.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0.1
export JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES ?= -1
export JAX_PLATFORMS ?= cpu
export OPENBLAS_NUM_THREADS ?= 1
# The size of JAX's pool: batched LAPACK calls that run at once can wait for each other for ever where it has two threads.
export NPROC ?= 8
export MPLBACKEND ?= Agg
# A hundred processes import the package: without its bytecode each of them would compile it, in 0.3 s.
unexport PYTHONDONTWRITEBYTECODE

# One stamp for each set of extras that .venv holds: pinned by the one file, asked for by the other.
READY := .venv/.ready
DEV := $(READY)/dev
DEMO := $(READY)/cli,plots
BENCH := $(READY)/bench

.PHONY: help ready demo test lint format types contract examples docs bench pins clean distclean anew

$(READY)/%: pyproject.toml constraints.txt $(shell PYTHON='$(PYTHON)' .ci/environment fits || echo anew)
	@PYTHON='$(PYTHON)' .ci/environment '$*'

help:
	@echo "make demo      tune a LASSO on the diabetes data through its own solution; picture in demo-output/"
	@echo "make test      the test suite (ARGS=... goes to pytest)"
	@echo "make lint      ruff: style and format        make format    let ruff mend both"
	@echo "make types     pyright over implicitcg/      make contract  who may import whom"
	@echo "make examples  run every examples/plot_*.py  make docs      the manual, warnings are errors"
	@echo "make ready     only .venv, with all that the targets above use"
	@echo "make bench     the measurements behind the numbers in the manual"
	@echo "make pins      constraints.txt for what pyproject.toml asks (ARGS=--upgrade: with the newest releases)"
	@echo "make clean     remove what the above produced, but .venv; make distclean: .venv, too"

ready: $(DEV)

demo: $(if $(wildcard $(DEV)),$(DEV),$(DEMO))
	$(BIN)/implicitcg tune --data diabetes --polynomial 2 --model lasso --cv 5 \
	    --plot demo-output/diabetes.png --out demo-output/diabetes.json

test: $(DEV)
	$(BIN)/python -m pytest $(ARGS)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(DEV)
	$(BIN)/basedpyright

contract: $(DEV)
	$(BIN)/lint-imports

examples: $(DEV)
	$(BIN)/python .ci/run_examples.py $(ARGS)

docs: $(DEV)
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

bench: $(BENCH)
	$(BIN)/python benchmarks/run.py $(ARGS)

pins: $(DEV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target .cache/uv uv
	echo hatchling | .cache/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --all-extras $(ARGS) \
	    --no-emit-index-url --no-annotate --custom-compile-command "make pins" --output-file constraints.txt pyproject.toml -

clean:
	rm -rf .cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist demo-output
	rm -rf docs/_build docs/auto_examples docs/api/generated docs/sg_execution_times.rst
	find implicitcg tests docs examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv
