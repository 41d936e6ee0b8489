# make demo and make test need Python >= 3.11 and nothing else: they make .venv by themselves.

PYTHON ?= python3
VENV ?= .venv
# Further arguments for pytest: make test PYTEST_ARGS="-k watcher -x"
PYTEST_ARGS ?=
# How many tests run at a time: most of them wait for processes.
JOBS ?= 2

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq --no-input
SOURCES := motoko supervisor workers tests examples benchmarks
TYPED := build/typed

# Where it is set, each of the thousands of processes that tests start would compile Motoko anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

.PHONY: help demo docs docs-links notebook test test-faults test-upgrades test-slurm test-hosts test-keeping test-notices test-compat test-beside lint typecheck bench clean

help:
	@echo "make demo    run a real calculation, examples/eos, and print its table"
	@echo "make test    run the unit and integration tests"
	@echo "make test-faults   kill -9, SIGSTOP and lost messages at full speed, for an hour"
	@echo "make test-upgrades from motoko 0.1.4 to this one and back, at 30 moments"
	@echo "make test-slurm    batch jobs, on a real Slurm of three nodes that it brings up here"
	@echo "make test-hosts    several hosts and a Slurm on them, which it makes here of namespaces"
	@echo "make test-keeping  packs a study of 20,000 runs; restores one as of 100 transactions; upgrades"
	@echo "make test-notices  each message of notify: comes once, over 100 kills of the supervisor"
	@echo "make test-compat   run the tests and the example of the public motoko 0.1.4"
	@echo "make test-beside   doIt.py's features beside motoko 0.1.4, and BlackDynamite's examples"
	@echo "make lint    ruff and mypy"
	@echo "make docs    the documentation as a site, build/site/index.html"
	@echo "make docs-links    asks whether its links to other sites are alive"
	@echo "make notebook  the tutorial as a notebook, build/tutorial.ipynb"
	@echo "make bench   the benchmarks: idling, chains, selecting, creating, waking (20 minutes)"
	@echo "make clean   remove what the examples, the tests and the builds have left"
	@echo
	@echo "Each makes the virtual environment $(VENV) when it is missing: PYTHON=python3.12 chooses"
	@echo "the Python for it (>= 3.11)."

demo: $(VENV)/.examples
	@$(BIN)/motoko run examples/eos > /dev/null # what it prints is in the report, too
	@echo && cat examples/eos/report.txt && echo && echo "plot: $(CURDIR)/examples/eos/report.png"

test: $(VENV)/.test $(VENV)/.validator
	$(BIN)/pytest -n $(JOBS) --dist worksteal tests/unit tests/integration tests/beside $(PYTEST_ARGS)

# kill -9, SIGSTOP, lost messages. The campaigns last as long as these say; CI has short ones.
SEED ?= 1
CAMPAIGN_S ?= 1800
KILLS ?= 200
LAUNCHES ?= 2000
UPGRADES ?= 30
FAULTS ?= tests/faults
test-faults: $(VENV)/.test
	MOTOKO_CAMPAIGN_SEED=$(SEED) MOTOKO_CAMPAIGN_S=$(CAMPAIGN_S) MOTOKO_KILLS=$(KILLS) \
	    MOTOKO_LAUNCHES=$(LAUNCHES) MOTOKO_UPGRADES=$(UPGRADES) \
	    $(BIN)/pytest $(FAULTS) $(PYTEST_ARGS)

# From motoko 0.1.4 to this one and back, at UPGRADES moments; each prints its verdict.
test-upgrades:
	$(MAKE) test-faults FAULTS="tests/faults/test_upgrade_campaign.py -s"

# Needs Slurm and munge, which root on Debian gets installed; else all of it is skipped. Each of the
# JOBS brings up a cluster of its own. CI has a short campaign.
RUNS ?= 200
test-slurm: $(VENV)/.test
	MOTOKO_BATCH_RUNS=$(RUNS) MOTOKO_CAMPAIGN_SEED=$(SEED) \
	    $(BIN)/pytest -n $(JOBS) --dist worksteal tests/slurm $(PYTEST_ARGS)

# Needs root, namespaces, and Slurm as above; else all of it is skipped with the reason. Each of the
# JOBS makes hosts of its own. FAULTS is how many the campaign has; CI has a short one.
HOSTS ?= tests/hosts
test-hosts: FAULTS = 100
test-hosts: $(VENV)/.test
	MOTOKO_HOST_FAULTS=$(FAULTS) MOTOKO_CAMPAIGN_SEED=$(SEED) \
	    $(BIN)/pytest -n $(JOBS) --dist worksteal $(HOSTS) $(PYTEST_ARGS)

# Part of `make test`, where studies are small. Here one of PACKED runs is packed, and a database that
# WRITERS write while its server is killed is restored as of TIDS transactions. Below RUNS runs the
# version before the change is replaced by this one, and so is the last release.
PACKED ?= 20000
TIDS ?= 100
WRITERS ?= 4
test-keeping: $(VENV)/.test
	MOTOKO_UPGRADED_RUNS=$(RUNS) MOTOKO_PACKED_RUNS=$(PACKED) MOTOKO_TIDS=$(TIDS) \
	    MOTOKO_WRITERS=$(WRITERS) MOTOKO_SERVER_KILLS=10 \
	    MOTOKO_CAMPAIGN_SEED=$(SEED) $(BIN)/pytest tests/integration/test_backup.py \
	    tests/integration/watcher/test_packing.py tests/integration/test_upgrade.py \
	    tests/integration/test_upgrade_under_runs.py $(PYTEST_ARGS)

test-notices:
	$(MAKE) test-faults FAULTS=tests/integration/supervise/test_notify.py KILLS=100

# Downloads them from the package index; skipped where that is out of reach.
test-compat: $(VENV)/.test
	$(BIN)/python tests/compat/run.py

# Part of `make test`, where the massive example has one run. It has MASSIVE^4 of them here, and as
# many more that BlackDynamite launches: all of it is MASSIVE=10.
MASSIVE ?= 5
test-beside: $(VENV)/.test
	MOTOKO_MASSIVE=$(MASSIVE) $(BIN)/pytest -n $(JOBS) --dist worksteal tests/beside $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory typecheck

# From the repository's top level mypy would take ./motoko for the whole package, and miss
# motoko.supervisor and motoko.workers, which are elsewhere until they are installed.
typecheck: $(VENV)/.dev
	@rm -rf $(TYPED) && mkdir -p $(TYPED)/motoko
	@ln -s "$(CURDIR)"/motoko/* "$(CURDIR)/supervisor" "$(CURDIR)/workers" $(TYPED)/motoko
	cd $(TYPED) && "$(CURDIR)/$(BIN)/mypy" --config-file "$(CURDIR)/pyproject.toml" \
	    --cache-dir "$(CURDIR)/.mypy_cache" -p motoko
	@cd $(TYPED) && PYTHONPATH="$$PWD" "$(CURDIR)/$(BIN)/lint-imports" --no-logo --no-cache \
	    "$(CURDIR)/pyproject.toml"

# A warning is an error: also of a link that leads nowhere within the documentation.
SPHINX = $(BIN)/sphinx-build --fresh-env --fail-on-warning --keep-going --quiet
docs: $(VENV)/.docs
	@$(SPHINX) docs build/site
	@echo "the documentation: $(CURDIR)/build/site/index.html"

# Links within the documentation are checked by "make docs".
docs-links: | $(BIN)/python
	@$(BIN)/python docs/external_links.py

# The tutorial as a notebook.
notebook: $(VENV)/.examples
	@$(BIN)/python docs/page_notebooks.py docs/tutorial.md build/tutorial.ipynb
	@echo "open it in a directory of its own: $(CURDIR)/build/tutorial.ipynb"

bench: $(VENV)/.test
	@failed=; for name in idle chain select create wake watcher fan_out plain sequence waiting supervisor orchestrators awaits strangers channel open_view seen_changes million; do \
	    $(BIN)/python benchmarks/$$name.py || failed="$$failed $$name"; echo; \
	done; [ -z "$$failed" ] || { echo "not as promised:$$failed" >&2; exit 1; }

clean:
	@for workflow in examples/*/motoko.yaml; do \
	    if [ -x $(BIN)/motoko ]; then $(BIN)/motoko kill --now $$workflow > /dev/null; fi; \
	done
	rm -rf build dist *.egg-info test-logs .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf examples/*/.wf examples/*/*/.bd examples/*/*/BD-*-runs
	rm -f examples/program/pendulum examples/*/result.json examples/*/report.json examples/*/report.txt examples/*/report.png
	find $(wildcard $(SOURCES)) -name __pycache__ -prune -exec rm -rf {} +

# One stamp for each set of dependencies. The package itself is installed in editable form: the
# stamps need not follow its sources.

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Motoko needs Python >= 3.11, and $(PYTHON) is: $$($(PYTHON) --version 2>&1)"; \
	    echo "Name another one: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; } >&2
	@echo "making the virtual environment $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.examples: pyproject.toml | $(BIN)/python
	@echo "installing Motoko and what the examples need into $(VENV) (about a minute)"
	@$(PIP) install --editable '.[examples]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@echo "installing Motoko and what the tests need into $(VENV) (about a minute)"
	@$(PIP) install --editable '.[examples,test]'
	@touch $@ $(VENV)/.examples

# The validator of archives wants an older rich than ours, so it has an environment of its own.
$(VENV)/.validator: | $(BIN)/python
	@echo "installing what checks archives into $(VENV)/validator"
	@$(BIN)/python -m venv $(VENV)/validator
	@$(VENV)/validator/bin/python -m pip --disable-pip-version-check -qq --no-input \
	    install "roc-validator>=0.13,<1" "rocrate>=0.14"
	@touch $@

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	@echo "installing Motoko and what makes its documentation into $(VENV) (about a minute)"
	@$(PIP) install --editable '.[docs]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "installing Motoko and the tools of its developers into $(VENV) (about a minute)"
	@$(PIP) install --editable '.[dev]'
	@touch $@ $(VENV)/.test $(VENV)/.examples $(VENV)/.docs
