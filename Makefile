# Every target sets up all that it needs: git, make and Python 3.11 are enough.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

SOURCE ?= phantom
NIH ?=
PORT ?= 5000
# Files in order, the long ones of tests/e2e among the first: by the number of their tests they
# would come last, and one core would wait for the other.
PYTEST ?= -n 2 --dist loadfile --no-loadscope-reorder --durations 15
UV := $(shell command -v uv || echo .uv/bin/uv)
RUN := $(UV) run --no-sync
export PATH := $(CURDIR)/.uv/bin:$(PATH)

.PHONY: help setup setup-label-studio demo test lint bench ui clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

setup: .venv/.synced ## build the environment from the lock file

setup-label-studio: servers/label-studio/.venv/.synced ## the Label Studio server's own environment

demo: setup setup-label-studio ## two rounds on synthetic films; SOURCE=nih NIH=<folder> for real ones
	$(RUN) lungal demo --source $(SOURCE) $(if $(NIH),--root "$(abspath $(NIH))")

test: setup setup-label-studio ## all tests, on real servers
	$(RUN) pytest $(PYTEST)

lint: setup ## ruff, mypy, import-linter, codespell
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) codespell

bench: setup ## the timings of docs/results.md, as ratios
	$(RUN) python -m benchmarks

ui: setup ## MLflow in the browser; PORT=5000
	$(RUN) mlflow ui --host 127.0.0.1 --port $(PORT) --backend-store-uri sqlite:///mlruns/mlflow.db \
		--artifacts-destination mlruns/artifacts

clean: ## remove environments and caches; data, models and runs stay
	rm -rf .venv .uv servers/label-studio/.venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(UV):
	python3.11 -m venv .uv
	.uv/bin/python -m pip install --quiet uv

.venv/.synced: pyproject.toml uv.lock | $(UV)
	$(UV) sync --locked
	@touch $@

servers/label-studio/.venv/.synced: servers/label-studio/pyproject.toml servers/label-studio/uv.lock | $(UV)
	$(UV) sync --locked --project servers/label-studio
	@touch $@
