# Every target makes its own .venv from the locks: a clone, Python >= 3.11 and make are enough.
# requirements.lock is what adreel needs to run. requirements-dev.lock adds the tools of development and documentation, and the
# extra that signs finished ads, which its tests need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
READY := $(VENV)/.ready
PIP_INSTALL := pip install --disable-pip-version-check --require-hashes --no-deps
# The lock is resolved as of this day; later releases of Prefect's own dependencies broke it before.
LOCK_DATE ?= 2026-10-08
PEERS_HOME := benchmarks/peers
PEERS_LOCK_DATE ?= 2026-11-20
UV_VERSION := 0.13.9
# Kills of `make chaos`; 100 take about half an hour.
ROUNDS ?= 10
SEEDS ?= 2000
# The seeds before it buy clips alone.
FIRST ?= 100000
# What `make bench-peers` is told, such as PEERS='--kill --only journal'.
PEERS ?= --scenes 4 40 400
# Of the other tools, those that can have thousands in flight.
LARGE ?= adreel_peer adreel_sqlite gather

# With it, each worker of the tests would compile all of them anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo up test test-slow test-all simulate chaos bench bench-peers bench-peers-ready lint docs format lock lock-peers clean

demo: $(INSTALLED)  ## four clips of an example ad and the finished ad, rendered by the emulator: costs nothing
	RUNWARE_API_KEY= $(BIN)/adreel generate examples/glowcap.yaml --again

up: $(INSTALLED)  ## Prefect, a worker, the API and the storyboard; Ctrl-C stops them
	$(BIN)/adreel up

# tests/conftest.py groups the tests: a file stays in one worker, whose tests share their servers.
PYTEST := $(BIN)/pytest --dist loadgroup --no-loadscope-reorder

test: $(READY)  ## the fast tier: about four minutes on two cores
	$(PYTEST) -n auto -m "not slow"

test-slow: $(READY)  ## the slow tier: kills, chaos, the machines of compose.yaml, the full sweep and simulation
	$(PYTEST) -n 3 -m slow

test-all: test test-slow  ## everything

simulate: $(READY)  ## the seeded simulation: SEEDS=n many, from FIRST=n; one alone is replayed with its story
	$(BIN)/python -m tests.rigs.simulation --seeds $(SEEDS) --first $(FIRST)

chaos: $(READY)  ## SIGKILL to worker, run, server and provider in turn while ads are made; exit 1 if a promise breaks
	$(BIN)/python -m tests.rigs.chaos --rounds $(ROUNDS)

bench: $(READY) bench-peers-ready  ## what docs/performance.md and docs/spend.md quote, on an idle machine: about two hours
	$(BIN)/python -m benchmarks.first_submit
	$(BIN)/python -m benchmarks.one_ad
	$(BIN)/python -m benchmarks.one_ad --ads 4 --render-seconds 60
	$(BIN)/python -m benchmarks.index
	$(BIN)/python -m benchmarks.budgets
	$(BIN)/python -m benchmarks.budgets --local
	$(BIN)/python -m benchmarks.peers.run --scenes 4 40 400 --out bench-5s.json
	$(BIN)/python -m benchmarks.peers.run --scenes 2000 10000 --render-seconds 60 --only $(LARGE) --out bench-60s.json
	$(BIN)/python -m benchmarks.peers.run --kill --out bench-kills.json
	$(PEERS_HOME)/.venv/bin/python -m benchmarks.peers.plot docs/performance.svg bench-5s.json bench-60s.json

bench-peers: $(READY) bench-peers-ready  ## the same work done by other tools: what it takes, and what a kill costs
	$(BIN)/python -m benchmarks.peers.run $(PEERS)

bench-peers-ready: $(PEERS_HOME)/.venv/.ready

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY)  ## the documentation as a web site in ./site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

UV_COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	--no-header --upgrade --quiet
EXTRAS := --extra redis --extra s3 --extra sftp --extra up --group build

lock: $(READY)  ## resolve pyproject.toml into the two locks: versions and hashes only
	$(BIN)/pip install --quiet uv==$(UV_VERSION)
	$(UV_COMPILE) pyproject.toml $(EXTRAS) --extra c2pa --group dev --group docs --exclude-newer $(LOCK_DATE) --output-file requirements-dev.lock
	$(UV_COMPILE) pyproject.toml $(EXTRAS) --constraints requirements-dev.lock --exclude-newer $(LOCK_DATE) \
		--output-file requirements.lock

lock-peers: $(READY)  ## the same for the packages of the peers
	$(BIN)/pip install --quiet uv==$(UV_VERSION)
	$(UV_COMPILE) $(PEERS_HOME)/requirements.txt --exclude-newer $(PEERS_LOCK_DATE) \
		--output-file $(PEERS_HOME)/requirements.lock

$(PEERS_HOME)/.venv/.ready: $(PEERS_HOME)/requirements.lock
	$(PYTHON) -m venv $(PEERS_HOME)/.venv
	$(PEERS_HOME)/.venv/bin/$(PIP_INSTALL) -r $<
	touch $@

# Python compiles what it imports at the first run: compiling everything here takes longer.
$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "adreel needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV) || { echo "Python has no venv here: on Debian or Ubuntu, apt install python3-venv"; exit 1; }
	$(BIN)/$(PIP_INSTALL) --no-compile -r requirements.lock
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(READY): requirements-dev.lock $(INSTALLED)
	$(BIN)/$(PIP_INSTALL) --no-compile -r requirements-dev.lock
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib
	touch $@

clean:
	rm -rf $(VENV) $(PEERS_HOME)/.venv build dist site .mypy_cache .ruff_cache .pytest_cache
