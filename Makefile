# Two commands: `make book` builds the site, `make test` proves it. Both make the environment first.
PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
PY := $(BIN)/python
STAMP := $(VENV)/.ready
UV := uv==0.13.9

.PHONY: book test serve record lint bench bench-record mutate browser links lock lock-browser clean python
.DEFAULT_GOAL := book

# One clear sentence for a missing or old Python, before anything else is tried.
python:
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { echo "Python 3.11 or newer is needed, and '$(PYTHON)' was not found: install it, or name yours with 'make PYTHON=/path/to/python3.11'." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, and '$(PYTHON)' is $$("$(PYTHON)" -c 'import platform; print(platform.python_version())'): name a newer one with 'make PYTHON=/path/to/python3.11'." >&2; exit 1; }

$(STAMP): requirements.lock pyproject.toml | python
	"$(PYTHON)" -m venv --clear $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check $(UV) || echo "uv is not to be had here; pip takes its place."
	if $(PY) -m uv --version >/dev/null 2>&1; then \
	  $(PY) -m uv pip install --quiet --python $(PY) --require-hashes -r requirements.lock && \
	  $(PY) -m uv pip install --quiet --python $(PY) --no-deps --no-build-isolation -e . ; \
	else \
	  $(PY) -m pip install --quiet --require-hashes -r requirements.lock && \
	  $(PY) -m pip install --quiet --no-deps --no-build-isolation -e . ; \
	fi
	touch $@

lock: $(STAMP)
	$(PY) -m uv pip compile --quiet requirements.txt --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url -o requirements.lock

# The data, the pages; the path to open is printed last.
book: $(STAMP)
	$(PY) book/build.py

# Pages at an address, for browsers that want one.
serve: book
	$(PY) -m http.server --bind 127.0.0.1 --directory _build/html 8000

# Executes every chapter afresh, or CHAPTER=chapters/approach/metrics.md alone, and keeps what it printed for the tests.
record: $(STAMP)
	$(PY) book/record.py $(CHAPTER)

# Tests that run at once, a file at a time each: a worker takes up to a gigabyte.
WORKERS ?= 2

# The code, the examples in its docstrings, the pages' text, and every chapter's cells against their records.
test: $(STAMP)
	$(PY) -m pytest -n $(WORKERS) --dist loadfile --ignore=tests/browser --doctest-modules --nbval --nbval-current-env --nbval-sanitize-with=tests/book/sanitize.cfg

lint: $(STAMP)
	$(BIN)/ruff check --extend-exclude '*.ipynb'
	$(BIN)/ruff format --check --extend-exclude '*.ipynb'
	$(BIN)/mypy

# Faults put into a copy of the package, one by one: the tests must notice each.
mutate: $(STAMP)
	$(PY) tests/mutations.py

# The comparisons with peers, small: that they run, not how fast.
bench: $(STAMP)
	for benchmark in benchmarks/[!_]*.py; do $(PY) $$benchmark --smoke || exit 1; done

# The comparisons in full, back to back on an idle machine, kept for the page that shows them. Some
# peers need environments of their own: `python benchmarks/_drift_peers.py --make DIR`, and
# `python benchmarks/_experiment_peers.py --make DIR`.
PEERS ?= _build/drift_peers
bench-record: $(STAMP)
	OMP_NUM_THREADS=1 $(PY) benchmarks/ranking.py --json benchmarks/results/ranking.json
	OMP_NUM_THREADS=1 $(PY) benchmarks/binary.py --json benchmarks/results/binary.json
	OMP_NUM_THREADS=1 NPY_DISABLE_CPU_FEATURES=X86_V4 $(PY) benchmarks/binary.py --json benchmarks/results/binary_avx2.json
	OMP_NUM_THREADS=1 $(PY) benchmarks/retrieval.py --json benchmarks/results/retrieval.json
	OMP_NUM_THREADS=1 $(PY) benchmarks/funnel.py --json benchmarks/results/funnel.json
	OMP_NUM_THREADS=1 $(PY) benchmarks/drift_speed.py --peers $(PEERS) --json benchmarks/results/drift_speed.json
	$(PY) benchmarks/drift_power.py --jobs 2 --peers $(PEERS) --json benchmarks/results/drift_power.json
	OMP_NUM_THREADS=1 $(PY) benchmarks/world.py --json benchmarks/results/world.json
	$(PY) benchmarks/experiments.py --jobs 2 --peers $(PEERS) --json benchmarks/results/experiments.json

# The finished pages in a real browser: for CI, which has one.
browser: book
	$(PY) -m uv --version >/dev/null 2>&1 || $(PY) -m pip install --quiet --disable-pip-version-check $(UV)
	$(PY) -m uv pip install --quiet --python $(PY) --require-hashes -r tests/browser/requirements.lock
	$(PY) -m pytest -n $(WORKERS) tests/browser

# Other people's pages: needs a network, and another folder than the book's, which it would overwrite.
links: $(STAMP)
	$(PY) -c "from jupyter_book.cli.main import main; main()" build . --builder linkcheck --path-output _build/links

lock-browser: $(STAMP)
	$(PY) -m uv pip compile --quiet tests/browser/requirements.txt -c requirements.lock --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url -o tests/browser/requirements.lock

clean:
	$(PY) -c "import shutil; [shutil.rmtree(p, ignore_errors=True) for p in ('_build', 'dist')]"
