# Everything a developer does here. Needs only make and Python 3.11 or newer; see `make help`.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; \
	done)
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_FLAGS ?= -n auto --dist worksteal
BENCH_FLAGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show this list
	@echo "usage: make TARGET [PYTHON=python3.x]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.installed ## Find the MADV_DONTNEED race on real kernel paths
	@status=0; out=$$($(BIN)/shootdown check MADV-PARALLEL) || status=$$?; \
	printf '%s\n' "$$out"; \
	case "$$status:$$out" in \
	1:*VIOLATED*) echo; echo "The race was found, as it should be."; \
	echo "Next: $(BIN)/shootdown list, and docs/tutorial.md" ;; \
	*) echo "make demo: expected VIOLATED and exit status 1, got status $$status" >&2; exit 1 ;; \
	esac

.PHONY: test
test: $(VENV)/.developed ## Run the whole test suite (PYTEST_FLAGS=... to change how)
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

.PHONY: lint
lint: $(VENV)/.developed ## Check format, lint rules and types
	@.ci/lint $(BIN)

.PHONY: format
format: $(VENV)/.developed ## Put the code into the format that lint expects
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: bench
bench: $(VENV)/.developed ## Measure us against SPIN and Rumur (BENCH_FLAGS="--size 3,3")
	$(BIN)/python benchmarks/run.py $(BENCH_FLAGS)

.PHONY: clean
clean: ## Remove the virtual environment, builds and caches
	rm -rf $(VENV) build dist benchmarks/.build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: a target runs pip again only when pyproject.toml is newer than its last success.
$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found; set PYTHON=" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "$(PYTHON) is not a working Python 3.11 or newer; set PYTHON=" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	echo "$(PYTHON) cannot make virtual environments: apt install python3-venv" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed: pyproject.toml | $(VENV)/.created
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.developed: pyproject.toml | $(VENV)/.created
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.installed
