# `make results` and `make test` set up .venv by themselves; nothing else is needed but Python 3.11+ and make.
PYTHON ?= python3
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
TEST_JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.lock-installed
DOCS_STAMP := $(VENV)/.docs-installed
export PATH := $(CURDIR)/$(BIN):$(PATH)
# GNU make 3.81, which macOS has, starts simple commands without a shell and then ignores this PATH.
SHELL := bash
# With it, each of the many short processes would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: results camvid verify test lint docs deps clean distclean environment lock
.DEFAULT_GOAL := results

results: $(STAMP)  ## run the whole chain on the data sets of params/experiment.yaml
	@snakemake --cores $(CORES) || { echo "Stopped: see the reason above and in logs/; the next run continues from here." >&2; exit 1; }
	@etc show

camvid: $(STAMP)  ## the whole chain on CamVid, downloaded or in the folder ETC_ROOT_CAMVID; `etc adopt street --run` goes back
	@echo "CamVid: about an hour and a half on two cores; Ctrl-C stops it, and the same command continues." >&2
	@test -f data/camvid/frames.parquet || etc frames camvid --yes
	@etc adopt camvid --run
	@$(MAKE) --no-print-directory results

verify: results  ## the whole chain, then a comparison of what it made with what is committed
	@etc verify

test: $(STAMP)  ## all tests
	@# One thread each: the test workers share the cores.
	@OMP_NUM_THREADS=1 python -m pytest --numprocesses $(TEST_JOBS) --dist worksteal

lint: $(STAMP)  ## style, spelling, workflow
	@ruff check .
	@ruff format --check .
	@snakefmt --check Snakefile
	@codespell
	@snakemake --lint

docs: $(DOCS_STAMP)  ## the site, into site/; `.venv/bin/mkdocs serve` shows it while it is written
	@NO_MKDOCS_2_WARNING=1 mkdocs build --strict

deps: $(STAMP)  ## write into dvc.yaml what code each stage imports
	@python -m tests.closure

environment: $(STAMP)  ## only set up .venv

$(STAMP): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@echo "Installing the locked packages into $(VENV) (once; some minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(DOCS_STAMP): $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[docs]'
	@touch $@

lock:  ## resolve requirements.lock again from pyproject.toml; other optional extras are not in it
	@$(BIN)/python -m piptools compile --quiet --extra pipeline --extra dev --extra cityscapes --extra efficientnet --extra torchmetrics --strip-extras --no-emit-index-url --no-emit-find-links --output-file requirements.lock pyproject.toml
	@# A CPU build resolves to 2.13.0+cpu, a name that exists on that index alone.
	@sed -i.bak 's/^\(torch==[0-9.]*\)+.*/\1/' requirements.lock && rm requirements.lock.bak

clean:  ## remove what can be made again: data, scratch, logs (.venv, results/ and the DVC cache are kept)
	@rm -rf site work logs .snakemake .pytest_cache .ruff_cache .hypothesis
	@find data -mindepth 1 ! -name .gitkeep -delete
	@find etc tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## also remove .venv and the DVC cache
	@rm -rf $(VENV) *.egg-info .dvc/cache .dvc/tmp
