.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
IMAGE ?= graftline-python
BASE_IMAGE ?= python:3.11-slim-bookworm
DOCKER ?= docker

.PHONY: help install demo test test-slow test-gpu check lint-imports compile docs images lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed ## install graftline and its locked dependencies into .venv

.venv/.installed: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "graftline needs Python 3.11 or later; set PYTHON=/path/to/python3.11"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5'
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: install ## the whole pipeline on handwritten digits, then look at runs/demo/report.html
	@$(BIN)/graftline run transfer --out runs/demo

test: install ## the fast tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

test-slow: install ## tests that take minutes
	$(BIN)/python -m pytest -m slow

test-gpu: install ## tests that need a GPU
	$(BIN)/python -m pytest -m gpu

check: install ## lint, types, import contracts, and whether the generated docs are fresh
	$(BIN)/ruff check .
	$(BIN)/mypy graftline components pipelines
	$(MAKE) --no-print-directory lint-imports
	$(BIN)/python docs/make_config.py --check

lint-imports: install ## the import contracts of pyproject.toml, on the packages laid out as the wheel has them
	@rm -rf build/layout && mkdir -p build/layout && cp -r graftline build/layout/
	@cp -r components pipelines build/layout/graftline/
	cd build/layout && ../../$(BIN)/lint-imports --no-logo --no-cache ../../pyproject.toml

compile: install ## the pipelines and components as KFP YAML, into compiled/
	$(BIN)/graftline compile --out compiled

docs: install ## write docs/config.md from graftline/config.py
	$(BIN)/python docs/make_config.py

images: ## container images, targets cpu and gpu
	for target in cpu gpu; do DOCKER_BUILDKIT=1 $(DOCKER) build -f images/Dockerfile --target $$target \
	  --build-arg BASE_IMAGE=$(BASE_IMAGE) -t $(IMAGE):$$target $(DOCKER_ARGS) . || exit 1; done

lock: install ## pin the dependencies anew, without addresses
	$(BIN)/uv pip compile pyproject.toml --extra docker --extra parquet --extra timm --extra lora --group dev --universal --generate-hashes --quiet -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra parquet --extra timm --extra lora --universal --generate-hashes --quiet --constraints requirements.lock -o images/requirements.lock

clean: ## remove what was built (not .venv, not the cache of runs)
	rm -rf build dist compiled *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
