# Two commands for a newcomer, `make demo` and `make test`; each sets up what it needs.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test faults bench lint pure pictures clean

demo: $(VENV)/.installed
	$(BIN)/usage demo

test: lint
	$(BIN)/python -m pytest -q

# The tests beside Kafka: pure ones, and contracts with Redis and Valkey, in about a minute.
pure: $(VENV)/.tested
	$(BIN)/python -m pytest -q tests/rollups tests/stream_app tests/export --deselect tests/rollups/test_store.py

# Nights of faults: make faults SEED=7 RUNS=10 EVENTS=40000 EACH=20
faults: $(VENV)/.tested
	FAULTS_SEED=$(or $(SEED),1) FAULTS_RUNS=$(or $(RUNS),10) FAULTS_EVENTS=$(or $(EVENTS),12000) \
	FAULTS_EACH=$(or $(EACH),10) $(BIN)/python -m pytest -q tests/faults

# Everything measured beside its peers, in under 10 minutes; docs/performance.md says how.
bench: $(VENV)/.benched
	$(BIN)/python -m benchmarks --short

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.tested: pyproject.toml $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

$(VENV)/.benched: pyproject.toml $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@

# The pictures of the dashboard that the documentation shows, taken anew.
pictures: $(VENV)/.tested
	SCREENSHOTS=docs/images/dashboard $(BIN)/python -m pytest -q tests/browser/test_looks.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info benchmarks/peers/kafka_streams/target
