# `make help` lists every target. Everything here runs from a clean clone.
SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin
DATA ?= ./data
RUN ?= manifests/samples/demo.yaml
ARGS ?=
# The Kubernetes of the clusters that are built here (tests/cluster/go/kubernetes); the oldest without it.
export KUBERNETES ?=

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z][a-z-]*:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.ready: requirements/dev.lock pyproject.toml requirements/venv
	@PYTHON="$(PYTHON)" requirements/venv

venv: .venv/.ready ## Make the Python environment (every other target does it by itself)

demo: .venv/.ready ## Run manifests/samples/demo.yaml on this machine, without a cluster (RUN=, DATA=, ARGS=)
	@$(BIN)/qlib-shadow run $(RUN) --data $(DATA) $(ARGS)

NIGHTS := 2022-10-10 2022-10-11 2022-10-12 2022-10-13 2022-10-14

demo-nights: .venv/.ready ## Run five nights on made-up prices that grow by a day, and show the morning after (DATA=, ARGS=)
	@for night in $(NIGHTS); do sed "s/until: [0-9-]*/until: $$night/" manifests/samples/nights.yaml \
		| $(BIN)/qlib-shadow run - --data $(DATA) $(ARGS) || exit; done
	@$(BIN)/qlib-shadow models --data $(DATA)
	@$(BIN)/qlib-shadow snapshot --data $(DATA)
	@echo "The same as a page: qlib-shadow ui --data $(DATA)"

demo-ledger: .venv/.ready ## Keep a book on paper for four nights, one of them halted by hand, and show it (DATA=, ARGS=)
	@for night in $(wordlist 1,4,$(NIGHTS)); do \
		case $$night in $(word 3,$(NIGHTS))) $(BIN)/qlib-shadow ledger halt demo --why "to show it" --data $(DATA);; esac; \
		sed "s/until: [0-9-]*/until: $$night/" manifests/samples/ledger.yaml \
		| $(BIN)/qlib-shadow run - --data $(DATA) $(ARGS) || exit; \
		case $$night in $(word 3,$(NIGHTS))) $(BIN)/qlib-shadow ledger resume demo --why "it was shown" --data $(DATA);; esac; \
	done
	@$(BIN)/qlib-shadow ledger show demo --data $(DATA)
	@$(BIN)/qlib-shadow ledger diff demo --data $(DATA)
	@$(BIN)/qlib-shadow ledger verify demo --data $(DATA)
	@echo "As a page: $(DATA)/artifacts/trading-ops/qlib-shadow/ledgers/demo/ledger.html, or qlib-shadow ui --data $(DATA)"

# The unit tests give way, since they only compute: the cluster's tests, which mostly wait, take longest.
test: .venv/.ready ## Run every check and every test, a real cluster included; all of it, whatever fails (KUBERNETES=1.37.2)
	@$(BIN)/python tests/everything.py --lint='env -u MAKEFLAGS make --no-print-directory lint' \
		--unit=$(call quoted,nice -n 5 $(UNIT)) --cluster-test=$(call quoted,$(CLUSTER_TEST)) \
		--parts=$(call quoted,$(PARTS))

lint: .venv/.ready ## Format check, ruff, strict mypy, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.ready ## Format the code and let ruff fix it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

UNIT = $(BIN)/pytest -m 'not cluster and not harness' -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

unit: .venv/.ready ## Run the tests that need no cluster (ARGS='-k name')
	$(UNIT)

# Most of a cluster's time is waiting, so two of them share the tests; one that was given is used alone. The first
# time, each may have to wait until the other has made what both need.
TWO_CLUSTERS = $(if $(findstring kubeconfig,$(ARGS))$(QLIB_SHADOW_TEST_KUBECONFIG),,-n 2 --dist loadfile --no-loadscope-reorder --timeout=3600)

# Kueue and kube-router, which two of the modules need: theirs come last, since the others are of more use early.
PARTS = env PYTHONPATH=tests/cluster nice -n 15 $(BIN)/python -m testcluster build --parts

# Collecting the unit tests in each process takes as long as a few tests.
WITH_A_CLUSTER = tests/chaos tests/chart tests/cluster tests/contract tests/e2e
CLUSTER_TEST = $(BIN)/pytest $(WITH_A_CLUSTER) -m 'cluster and not harness' $(TWO_CLUSTERS) $(ARGS)

cluster-test: .venv/.ready ## Run the tests on a real cluster (ARGS='--kubeconfig ~/.kube/config')
	$(CLUSTER_TEST)

harness-test: .venv/.ready ## Run the tests of what makes the clusters and images (ARGS=)
	$(BIN)/pytest tests/cluster $(ARGS)

cluster-up: .venv/.ready ## Start the test cluster and leave it running
	@PYTHONPATH=tests/cluster $(BIN)/python -m testcluster up

cluster-down: .venv/.ready ## Stop it and leave nothing behind
	@PYTHONPATH=tests/cluster $(BIN)/python -m testcluster down

images: .venv/.ready ## Build both images by Docker or buildah (REGISTRY=registry.example/research names them, PUSH=1 pushes)
	@PYTHONPATH=tests/cluster $(BIN)/python -m testcluster images --registry=$(call quoted,$(REGISTRY)) --push=$(call quoted,$(PUSH))

COMPOSE ?= docker compose
VOLUME = $(abspath $(DATA))
# `env`, since bash would not let UID be set.
IN_COMPOSE = @$(COMPOSE) version >/dev/null 2>&1 || { echo "$(COMPOSE) does not answer; install Docker with its compose \
	plugin, name another with COMPOSE=podman-compose, or use make demo, which needs no container" >&2; exit 1; }; \
	mkdir -p "$(VOLUME)/qlib" "$(VOLUME)/inbox" "$(VOLUME)/artifacts/trading-ops/qlib-shadow" && \
	env UID="$$(id -u)" GID="$$(id -g)" QLIB_SHADOW_DATA="$(VOLUME)" GIT_COMMIT="$$(git rev-parse HEAD)"
SERVICE = $(COMPOSE) -f images/compose.yaml run --rm $$([ -t 0 ] || echo -T) qlib-runner
# One word for the shell, whatever quotes it holds.
quoted = '$(subst ','\'',$(1))'

compose-run: ## Run as `make demo` does, but in a container (RUN=, DATA=, ARGS=, COMPOSE=)
	$(IN_COMPOSE) $(SERVICE) $(call quoted,cd /repo && qlib-shadow run $(RUN) $(ARGS))

compose-download: ## Only the dataset of RUN= in a container
	$(IN_COMPOSE) $(SERVICE) $(call quoted,cd /repo && qlib-shadow download $(RUN) $(ARGS))

compose-qrun: ## Train on the dataset that is there, in a container without a network
	$(IN_COMPOSE) QLIB_SHADOW_NETWORK=none $(SERVICE) $(call quoted,cd /repo && qlib-shadow run $(RUN) $(ARGS))

compose-shell: ## A shell in the container, or one command line (ARGS='qlib-shadow runs')
	$(IN_COMPOSE) $(SERVICE) $(call quoted,$(or $(ARGS),exec bash -i))

KIND ?= one-node
IN_KIND = PYTHONPATH=tests/cluster $(BIN)/python -m testcluster.kind_development

kind-up: .venv/.ready ## Create a kind cluster with the operator of this checkout (KIND=several-nodes); needs Docker
	@$(IN_KIND) up $(KIND)

kind-demo: .venv/.ready ## Run manifests/samples/demo.yaml there, and show it (RUN=)
	@$(IN_KIND) demo $(RUN)

kind-down: .venv/.ready ## Delete that cluster; what runs left stays in data/kind
	@$(IN_KIND) down

kind-test: .venv/.ready ## Run the tests that need a cluster on a kind cluster of their own (ARGS=)
	@$(IN_KIND) check && $(BIN)/pytest -m cluster $(ARGS)

bench-ingest: .venv/.ready ## Compare the ingestion of prices with a plain pandas loop (ARGS='--symbols 500 --years 15')
	@$(BIN)/python tests/bench/ingest.py $(ARGS)

bench-run: .venv/.ready ## Compare whole runs with plain qrun, phase by phase (ARGS='--symbols 100 --days 1500')
	@PYTHONPATH=. $(BIN)/python -m tests.bench.run $(ARGS)

bench-night: .venv/.ready ## Compare a night with a kept model with plain qrun (ARGS='--symbols 500 --days 3777')
	@PYTHONPATH=.:tests/e2e/support $(BIN)/python -m tests.bench.night $(ARGS)

bench-report: .venv/.ready ## Compare a report with the same curves drawn by hand (ARGS='--symbols 500 --years 6')
	@PYTHONPATH=. $(BIN)/python -m tests.bench.report_page $(ARGS)

EXAMPLES ?= ../qlib/examples
qlib-examples: .venv/.ready ## Write docs/qlib-examples.md from a checkout of Qlib (EXAMPLES=../qlib/examples, ARGS=--check)
	@PYTHONPATH=. $(BIN)/python -m tests.bench.qlib_examples $(EXAMPLES) $(ARGS)

calibrate-verdict: .venv/.ready ## Count what a report's verdict finds in noise, and in a weak signal (ARGS='--reports 1000')
	@PYTHONPATH=. $(BIN)/python -m tests.bench.verdict $(ARGS)

calibrate: .venv/.ready ## Find the limits of drift and decay by simulation, and write them (ARGS='--markets 40')
	@PYTHONPATH=. OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.bench.alarms $(ARGS)

calibrate-promise: .venv/.ready ## Count how often chance alone leads a book out of its bands (ARGS='--books 2000')
	@PYTHONPATH=. $(BIN)/python -m tests.bench.promise $(ARGS)

bench-operator: .venv/.ready ## Compare the operator with Jobs made by hand, on a cluster of its own (ARGS='--runs 100')
	@PYTHONPATH=tests/cluster:. $(BIN)/python -m tests.bench.operator_cost $(ARGS)

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --excludes requirements/excludes.txt pyproject.toml

lock: .venv/.ready ## Renew the locks after a change of dependencies (ARGS=--upgrade for newer versions)
	$(LOCK) $(ARGS) --extra runner -o requirements/runner.lock
	$(LOCK) $(ARGS) --extra operator -o requirements/operator.lock
	$(LOCK) $(ARGS) --extra runner --extra operator --group dev -o requirements/dev.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		$(ARGS) -c requirements/dev.lock requirements/build.in -o requirements/build.lock

audit: .venv/.ready ## Ask the public advisories about the locks (ARGS=--answer-required to fail offline)
	@$(BIN)/python requirements/audit.py $(ARGS)

licences: .venv/.ready ## List the licences of what the images install, and refuse licences that are not approved
	@$(BIN)/python images/build/licences.py $(wildcard .venv/lib/python3*/site-packages) \
		requirements/runner.lock requirements/operator.lock

docs: .venv/.ready ## Write the pages that are generated from the code
	@PYTHONPATH=. $(BIN)/python -m tests.contract.crd_file
	@helm/copy
	@for page in unit.operator.model.states_page contract.failures_page contract.values_page contract.values_schema \
		contract.api_page \
		unit.runner.documents.commands_page unit.runner.documents.classes_page; do \
		PYTHONPATH=. $(BIN)/python -m tests.$$page || exit; done

CHAOS = QLIB_SHADOW_CHAOS_ROUNDS=50 QLIB_SHADOW_CHAOS_STORIES=3000 QLIB_SHADOW_CHAOS_KILLS=100 \
	QLIB_SHADOW_CHAOS_RUNS=20 QLIB_SHADOW_CHAOS_RESTARTS=10 QLIB_SHADOW_CHAOS_FEATURES=400 QLIB_SHADOW_CHAOS_BACKTESTS=200 \
	QLIB_SHADOW_CHAOS_LEDGER_MARKETS=500 \
	QLIB_SHADOW_CHAOS_FILES=500 QLIB_SHADOW_CHAOS_PICKLES=200000 QLIB_SHADOW_CHAOS_FLIPS=3000 \
	QLIB_SHADOW_CHAOS_TEMPLATES=3000 QLIB_SHADOW_CHAOS_DOCUMENTS=3000 QLIB_SHADOW_CHAOS_NUMBERS=2000 \
	QLIB_SHADOW_CHAOS_LEDGER_KILLS=10000 QLIB_SHADOW_CHAOS_LEDGER_STORIES=2000

chaos: .venv/.ready ## Kill and cut for long: downloads, training, operators, API servers, lines; try new random failures
	$(CHAOS) $(BIN)/pytest tests/unit/runner/dataset/archive/test_crashes.py $(ARGS)
	$(CHAOS) $(BIN)/pytest tests/unit/runner/dataset/archive/test_whole_archives.py -k random $(ARGS)
	$(CHAOS) $(BIN)/pytest tests/unit/runner/dataset/prices -k random $(ARGS)
	$(CHAOS) $(BIN)/pytest tests/unit/runner/contract tests/unit/runner/plugins tests/unit/runner/pickles -k random $(ARGS)
	$(CHAOS) $(BIN)/pytest tests/unit/runner/ledger -k "random or race" $(ARGS)
	$(CHAOS) $(BIN)/pytest tests/unit/runner/cli/test_damage_in_other_runs.py \
		tests/unit/runner/stages/test_stopping_in_every_phase.py $(ARGS)
	$(CHAOS) $(BIN)/pytest tests/unit/runner/adopt tests/unit/runner/workflow -k random $(ARGS)
	$(CHAOS) $(BIN)/pytest tests/unit/runner/hostile tests/unit/runner/dataset/archive/test_hostile_answers.py \
		tests/unit/operator/test_hostile_values.py $(ARGS)
	$(CHAOS) $(BIN)/pytest tests/unit/operator/model tests/chaos $(ARGS)

clean: ## Remove the environment and the caches of the checkout; never touches data/
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help venv demo demo-nights demo-ledger test lint format unit cluster-test harness-test cluster-up cluster-down images compose-run compose-download compose-qrun compose-shell kind-up kind-demo kind-down kind-test bench-ingest bench-run bench-report calibrate-verdict calibrate calibrate-promise bench-operator qlib-examples docs chaos lock audit licences clean
