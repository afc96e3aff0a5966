.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
IMAGE ?= graftline-python
BASE_IMAGE ?= python:3.11-slim-bookworm
DOCKER ?= docker

.PHONY: help install hooks demo test test-slow test-gpu coverage lowest check lint-imports docs bench compile images lock clean

EXTRAS := --extra docker --extra parquet --extra timm --extra lora
LOWEST := build/lowest
LOWEST_TESTS ?= tests

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed ## install graftline and its locked dependencies into .venv

.venv/.installed: requirements-install.lock requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "graftline needs Python 3.11 or later; set PYTHON=/path/to/python3.11"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-install.lock
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

hooks: install ## run the checks before each commit
	$(BIN)/pre-commit install

demo: install ## the whole pipeline on handwritten digits, then look at runs/demo/report.html
	@$(BIN)/graftline run transfer --out runs/demo

test: install ## the fast tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

test-slow: install ## tests that take minutes
	$(BIN)/python -m pytest -m slow

test-gpu: install ## tests that need a GPU
	$(BIN)/python -m pytest -m gpu

coverage: install ## the fast tests with branch coverage; the page is build/coverage/index.html
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --cov --cov-report term:skip-covered --cov-report html

lowest: install ## the fast tests with the oldest versions that pyproject.toml allows; their own deprecations do not fail
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip compile pyproject.toml --resolution lowest-direct $(EXTRAS) --group dev --quiet \
	  --python $(LOWEST)/bin/python -o $(LOWEST)/requirements.txt
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python 'setuptools>=77' -r $(LOWEST)/requirements.txt
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --no-deps --no-build-isolation --editable .
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -n auto -W default -p no:cacheprovider $(LOWEST_TESTS)

check: install ## lint, format, types, import contracts, spelling, and whether the generated pages are up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy graftline components pipelines
	$(MAKE) --no-print-directory lint-imports
	$(BIN)/typos
	$(BIN)/python docs/generate.py --check

lint-imports: install ## the import contracts of pyproject.toml, on the packages laid out as the wheel has them
	@rm -rf build/layout && mkdir -p build/layout && cp -r graftline build/layout/
	@cp -r components pipelines build/layout/graftline/
	cd build/layout && ../../$(BIN)/lint-imports --no-logo --no-cache ../../pyproject.toml

compile: install ## the pipelines and components as KFP YAML, into compiled/
	$(BIN)/graftline compile --out compiled

docs: install ## write the generated pages, then build the site into build/site; broken links fail
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.venv/.bench: .venv/.installed benchmarks/requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r benchmarks/requirements.lock
	@touch $@

bench: .venv/.bench ## run the benchmarks and write docs/benchmarks/*.json and docs/speed.md; takes hours
	$(BIN)/python benchmarks/run_all.py
	$(BIN)/python docs/generate.py

images: ## container images, targets cpu and gpu
	for target in cpu gpu; do DOCKER_BUILDKIT=1 $(DOCKER) build -f images/Dockerfile --target $$target \
	  --build-arg BASE_IMAGE=$(BASE_IMAGE) -t $(IMAGE):$$target $(DOCKER_ARGS) . || exit 1; done

lock: install ## resolve the dependencies again, without addresses
	$(BIN)/uv pip compile --group install --universal --generate-hashes --quiet -o requirements-install.lock
	$(BIN)/uv pip compile pyproject.toml $(EXTRAS) --group dev --group docs --universal --generate-hashes --quiet -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra parquet --extra timm --extra lora --universal --generate-hashes --quiet --constraints requirements.lock -o images/requirements.lock
	$(BIN)/uv pip compile --group bench --universal --generate-hashes --quiet --constraints requirements.lock -o benchmarks/requirements.lock

clean: ## remove build output (not .venv, not the cache of runs)
	rm -rf build dist compiled *.egg-info .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
