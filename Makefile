# Two commands on a fresh machine: `make run` and `make test`. `make help` lists the others.

CORES ?= 2
ROUNDS ?= 5
PIP_OPTIONS ?=
SNAKEMAKE_OPTIONS ?=
VENV := .venv
S3_PLUGIN := snakemake-storage-plugin-s3==0.3.6
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help run test faults lint docs env lock clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: env  ## make the environment and run the demo from archives to deployable models
	@echo "==> Running the workflow on the demo set with $(CORES) cores"
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" snakemake --cores $(CORES) $(SNAKEMAKE_OPTIONS)
	@echo "==> Done: open the page that Snakemake names above, or look at the summary:"
	@tail -v -n +1 results/*/summary.csv

test: lint  ## make the environment and pass all checks and tests
	@echo "==> Testing"
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" pytest -n $$(($(CORES) + 1)) -m "not thorough" $(PYTEST_OPTIONS) \
		tests/integration tests/workflow tests/faults tests/unit

faults: env  ## inject every fault, with kills at moments from new seeds, ROUNDS times
	@for round in $$(seq $(ROUNDS)); do \
		ACTIONREC_FAULTS_SEED=$$RANDOM PATH="$(CURDIR)/$(VENV)/bin:$$PATH" pytest -n $(CORES) \
			tests/faults tests/integration/test_container_faults.py $(PYTEST_OPTIONS); done

lint: env  ## check style, types, the order of the packages and the rules
	@echo "==> Checking style, imports, types and rules: ruff, snakefmt, import-linter, mypy, snakemake --lint"
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/snakefmt --check Snakefile workflow
	@$(VENV)/bin/lint-imports
	@$(VENV)/bin/mypy --num-workers $(CORES)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" snakemake --lint

docs: env  ## write the configuration's reference from its models, and the table of faults from the tests
	@$(VENV)/bin/python -m actionrec.config.docs
	@PYTHONPATH=tests:tests/integration $(VENV)/bin/python -m faults.document

env: $(VENV)/.installed  ## make the environment: .venv, from the pinned envs/requirements.lock

$(VENV)/.installed: envs/requirements.lock workflow/scripts/actionrec/utils/locks/encryption.lock pyproject.toml
ifeq ($(PYTHON),)
	@echo "Python 3.11 or newer is needed and none is on PATH. Install it (apt install python3 python3-venv)" >&2
	@echo "or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2
	@exit 1
endif
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("$(PYTHON) is Python %d.%d; 3.11 or newer is needed: make PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	@echo "==> Making $(VENV) with $$($(PYTHON) --version) from envs/requirements.lock (once; some minutes)"
	@# An interrupted pip leaves half a package, which the next one takes for whole: begin again.
	@$(PYTHON) -m venv $(if $(wildcard $(VENV)/.installing),--clear) $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make an environment: apt install python3-venv" >&2; exit 1; }
	@touch $(VENV)/.installing
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -r envs/requirements.lock
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@# Apart, for its tests alone: Snakemake imports all plugins at every start, and this one brings boto3.
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $(PIP_OPTIONS) --target $(VENV)/plugins $(S3_PLUGIN)
	@$(VENV)/bin/python -m actionrec.utils.environments encryption || true
	@mv $(VENV)/.installing $@ && touch $@

lock:  ## resolve envs/requirements.lock again from pyproject.toml
	@$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --extra dev --no-annotate --no-header pyproject.toml \
		| grep -vE '^(nvidia-|cuda-|triton)' > envs/requirements.lock.new
	@mv envs/requirements.lock.new envs/requirements.lock

clean:  ## remove results, logs and the demo's files; downloads and the environment stay
	@rm -rf results logs resources/demo resources/pretrained
