# The usual jobs. Each does its own set-up, so a fresh clone needs Python 3.11+ and make only.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

.NOTPARALLEL:

# Handed to the scripts through the environment: no quoting, whatever they hold.
export PYTHON FACES

# Programs run as modules: a path with spaces, or a long one, spoils the scripts' first lines.
RUN := .venv/bin/python -m

# For all tests, where each process has a screen of its own. A few that ARGS name are faster
# in one process, which -s and --pdb need, too.
PARALLEL = $(if $(shell command -v Xvfb 2>&1),-n logical --maxprocesses 4 --dist worksteal)

.PHONY: help demo test test-lowest stress audit bench docs lint types format hooks clean clean-all environment window

help: ## List what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  FACES=folder    the faces that demo shows'
	@echo '  ARGS="..."      passed on: make test ARGS="tests/test_model.py -x", make bench ARGS=solver'
	@echo '  PYTHON=python   the interpreter that .venv is made with'

demo: window ## Fit latent faces to the sample faces (or FACES=folder) and show them
	@if [ -n "$$FACES" ]; then sh scripts/demo.sh "$$FACES"; else sh scripts/demo.sh; fi

test: window ## Run the tests, or those that ARGS name
	@$(RUN) pytest $(or $(ARGS),$(PARALLEL))

stress: window ## Run the long tests, of reliability and benchmarks: an hour, tens of thousands of files
	@$(RUN) pytest -m stress -o faulthandler_timeout=0 tests/reliability tests/test_benchmarks.py $(ARGS)

test-lowest: window ## Run the tests with the oldest releases that pyproject.toml allows
	@sh scripts/lowest.sh $(or $(ARGS),$(PARALLEL))

audit: environment ## Ask for known weaknesses of all installed packages
	@sh scripts/audit.sh $(ARGS)

bench: window ## Measure against others into docs/performance.md, or the parts that ARGS name
	@sh scripts/environment.sh bench
	@sh scripts/with-screen.sh $(RUN) benchmarks $(ARGS)

docs: window ## Make the pictures and build the site in site/
	@sh scripts/with-screen.sh .venv/bin/python docs/pictures.py
	@.venv/bin/python docs/command_line.py
	@$(RUN) mkdocs build --strict --quiet

lint: environment ## Check style, formatting and types
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy

types: environment ## Check types only
	@$(RUN) mypy

format: environment ## Format the code and mend what can be mended
	@$(RUN) ruff check --fix
	@$(RUN) ruff format

hooks: environment ## Check style before every commit, with pre-commit
	@$(RUN) pre_commit install

clean: ## Remove caches, builds and pictures
	rm -rf build dist site demo.png .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +

clean-all: clean ## Remove the virtual environment as well
	rm -rf .venv .venv-lowest .venv-audit

environment:
	@sh scripts/system-packages.sh
	@sh scripts/environment.sh

window:
	@sh scripts/system-packages.sh window
	@sh scripts/environment.sh
