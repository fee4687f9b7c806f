# make demo: the main job from a clean clone. make test: the tests. make help: the rest.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3.11
INSTALLED := $(VENV)/.installed
export DAGSTER_HOME := $(CURDIR)

.PHONY: help install demo dev test lint check format bench chaos docs screenshots lock clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

install: $(INSTALLED) ## a virtual environment from the lock file

$(INSTALLED): requirements.lock pyproject.toml
	@echo "Installing into $(VENV) (once; about a minute) ..."
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install ## three campaigns from contacts to an A/B result, against the local sandbox
	@$(BIN)/python -m campaign_pipeline.demo

dev: install ## the Dagster UI on http://127.0.0.1:3000, with the demo's runs in it
	@mkdir -p data
	@$(BIN)/campaigns init
	$(BIN)/dagster dev -w workspace.yaml -h 127.0.0.1 -p $(or $(PORT),3000)

# In their own order the slow tests, which are few, come first: the many quick ones keep both cores busy to the end.
test: install ## all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: install ## format, lint, types, import contract, definitions load
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --project .
	$(BIN)/lint-imports
	$(BIN)/dagster definitions validate -w workspace.yaml

check: lint test ## all of lint and test: what CI runs

format: install ## format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## benchmarks: one JSON object each
	@for script in $(filter-out bench/common.py,$(wildcard bench/*.py)); do $(BIN)/python $$script || exit 1; done

chaos: install ## the promise, under 200 kills over 1,000,000 messages (CHAOS_KILLS, CHAOS_MESSAGES, CHAOS_DATABASE, CHAOS_POLICY)
	$(BIN)/python -m tests.chaos --kills $(or $(CHAOS_KILLS),200) --messages $(or $(CHAOS_MESSAGES),1000000) \
	  --database $(or $(CHAOS_DATABASE),both) --policy $(or $(CHAOS_POLICY),never_duplicate) --json data/chaos.json

docs: install ## write docs/cli.md and docs/data-dictionary.md anew from commands and tables
	$(BIN)/typer campaign_pipeline.cli.app utils docs --name campaigns --title "Command line" --output docs/cli.md
	$(BIN)/campaigns dictionary --output docs/data-dictionary.md

screenshots: install ## retake the pictures of the README (needs Chromium)
	$(BIN)/python docs/screenshots.py

lock: ## resolve the dependencies anew (needs uv)
	uv pip compile --python-version 3.11 --extra dev --upgrade --generate-hashes --no-header --no-annotate \
	  --no-strip-extras pyproject.toml -o requirements.lock

clean: ## remove everything generated: data and environment
	rm -rf $(VENV) data/lake data/inbox data/sandbox data/demo data/dagster data/reports data/*.db* data/*.duckdb
