# Every target makes its own .venv from the lock: a clone, Python >= 3.11 and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The lock is resolved as of this day; later releases of Prefect's own dependencies broke it before.
LOCK_DATE ?= 2026-10-08
PEERS_HOME := benchmarks/peers
PEERS_LOCK_DATE ?= 2026-11-20
UV_VERSION := 0.13.9
# Kills of `make chaos`; 100 take about half an hour.
ROUNDS ?= 10
SEEDS ?= 2000
FIRST ?= 0
# What `make bench-peers` is told, such as PEERS='--kill --only journal'.
PEERS ?= --scenes 4 40 400
# Of the other tools, those that can have thousands in flight.
LARGE ?= adreel_peer adreel_sqlite gather

.PHONY: demo up test simulate chaos bench bench-peers bench-peers-ready lint format lock lock-peers clean

demo: $(READY)  ## four clips of an example ad, from the local Runware: costs nothing
	RUNWARE_API_KEY= $(BIN)/adreel generate examples/glowcap.yaml --again

up: $(READY)  ## the whole studio: Prefect, a worker, the API and the storyboard; Ctrl-C ends it
	$(BIN)/adreel up

test: $(READY)
	$(BIN)/pytest -n 2 --dist loadgroup

simulate: $(READY)  ## the seeded simulation: SEEDS=n many, from FIRST=n; one alone is replayed with its story
	$(BIN)/python -m tests.rigs.simulation --seeds $(SEEDS) --first $(FIRST)

chaos: $(READY)  ## SIGKILL to worker, run, server and provider in turn while ads are made; exit 1 if a promise breaks
	$(BIN)/python -m tests.rigs.chaos --rounds $(ROUNDS)

bench: $(READY) bench-peers-ready  ## what docs/performance.md quotes, on an idle machine: about two hours
	$(BIN)/python -m benchmarks.first_submit
	$(BIN)/python -m benchmarks.one_ad
	$(BIN)/python -m benchmarks.one_ad --ads 4 --render-seconds 60
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

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(READY)  ## resolve pyproject.toml into requirements.lock: versions and hashes only
	$(BIN)/pip install --quiet uv==$(UV_VERSION)
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --exclude-newer $(LOCK_DATE) \
		--generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade --quiet --output-file requirements.lock

lock-peers: $(READY)  ## the same for the packages of the peers
	$(BIN)/pip install --quiet uv==$(UV_VERSION)
	$(BIN)/uv pip compile $(PEERS_HOME)/requirements.txt --universal --python-version 3.11 --exclude-newer $(PEERS_LOCK_DATE) \
		--generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade --quiet --output-file $(PEERS_HOME)/requirements.lock

$(PEERS_HOME)/.venv/.ready: $(PEERS_HOME)/requirements.lock
	$(PYTHON) -m venv $(PEERS_HOME)/.venv
	$(PEERS_HOME)/.venv/bin/pip install --disable-pip-version-check --quiet --require-hashes --no-deps -r $<
	touch $@

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "adreel needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV) || { echo "Python has no venv here: on Debian or Ubuntu, apt install python3-venv"; exit 1; }
	$(BIN)/pip install --disable-pip-version-check --quiet --require-hashes --no-deps -r requirements.lock
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	touch $@

clean:
	rm -rf $(VENV) $(PEERS_HOME)/.venv build dist .mypy_cache .ruff_cache .pytest_cache
