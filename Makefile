# Everything a contributor or CI runs. `make demo` and `make test` need nothing but Python 3.11+, make and git.
.PHONY: setup demo demo-postgres test check lint types contracts fuzz chaos crashes simulate museum mutants screenshots docs clean
.PHONY: bench bench-calls bench-limits bench-profile bench-growth bench-curve bench-idle bench-workflows bench-serving

VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
JOBS ?= 4
# Tests start some thousand processes, each a fifth faster where compiled modules are kept.
unexport PYTHONDONTWRITEBYTECODE
KILLS ?= 400
EXAMPLES ?= 50
LIVES ?= 4

demo: $(VENV)/.demo        ## run the main job on real data, kill things, recover, check the result
	@$(BIN)/mulligan demo $(ARGS)

demo-postgres: $(VENV)/.demo   ## the same on PostgreSQL: on MULLIGAN_DATABASE, or on a server of its own
	@$(BIN)/python tools/demo_postgres.py $(ARGS)

setup: $(VENV)/.dev        ## set up everything for development

test: $(VENV)/.dev         ## pass the tests; on two cores four at a time, since many wait for processes
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

check: lint types contracts test  ## exactly what CI runs

lint: $(VENV)/.dev
	@$(BIN)/ruff format --check src tests bench tools
	@$(BIN)/ruff check src tests bench tools

types: $(VENV)/.dev
	@$(BIN)/mypy

contracts: $(VENV)/.dev
	@$(BIN)/lint-imports

fuzz: $(VENV)/.dev         ## try many more requests to the API, and lives of the engine: make fuzz EXAMPLES=50 LIVES=4
	@EXAMPLES=$(EXAMPLES) LIVES=$(LIVES) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal --timeout 3600 \
	    tests/api/test_document.py tests/engine/test_state_machine.py tests/engine/test_workflow_machine.py $(ARGS)

chaos: $(VENV)/.dev        ## kill and break for long, on both stores: make chaos KILLS=500
	@$(BIN)/python -m tests.stories.kill_loop --kills $(KILLS) $(ARGS)
	@$(BIN)/python -m tests.stories.kill_loop --kills $(KILLS) --store postgres --workers 2 $(ARGS)
	@$(BIN)/python -m tests.stories.kill_loop --kills $(KILLS) --faults --workers 2 $(ARGS)

simulate: $(VENV)/.dev     ## simulate worlds in which everything goes wrong: make simulate ARGS='--seeds 10000'
	@$(BIN)/python -m tests.simulation $(ARGS)

crashes: $(VENV)/.dev      ## kill at every commit and message, fail writes, fill the disk, set clocks: make crashes ARGS=--first
	@$(BIN)/python -m tests.crash $(ARGS)
	@$(BIN)/python -m tests.crash.disk_faults
	@CRASHES=all $(BIN)/python -m pytest tests/crash

museum: $(VENV)/.dev       ## bring bugs back that others had, one by one, and see who finds them
	@$(BIN)/python -m tests.museum $(ARGS)

mutants: $(VENV)/.mutants  ## change the core in small ways, one by one, and see which changes its tests do not see
	@$(BIN)/python tools/mutants.py $(ARGS)

bench: $(VENV)/.dev $(PEERS)/.done   ## measure, side by side with peers; the parts of docs/performance.md have commands of their own
	@$(BIN)/python -m bench $(ARGS)

bench-calls: $(VENV)/.dev $(PEERS)/.done   ## what a call in process costs, side by side with peers
	@$(BIN)/python -m bench.calls $(ARGS)

bench-limits bench-profile bench-growth bench-curve bench-idle bench-workflows bench-serving: bench-%: $(VENV)/.dev   ## the other parts of docs/performance.md
	@$(BIN)/python -m bench.$* $(ARGS)

screenshots: $(VENV)/.dev  ## take pictures of every page of the console: make screenshots ARGS='--folder build/screenshots'
	@$(BIN)/python -m tests.console.screenshots $(ARGS)

docs: $(VENV)/.dev         ## write the pages that are made from the code
	@$(BIN)/python -m mulligan.testing.pages

clean:
	rm -rf $(VENV) $(PEERS) .mulligan .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@echo "Setting up a virtual environment in $(VENV)"
	@sh tools/make-venv $(VENV)

$(PEERS)/.done: bench/peers.txt bench/peers-constraints.txt
	@echo "Installing the peers of the benchmark in $(PEERS) (half a minute)"
	@test -x $(PEERS)/bin/python || sh tools/make-venv $(PEERS)
	@while read -r one _; do case "$$one" in ''|\#*) continue ;; esac; \
	    $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --constraint bench/peers-constraints.txt "$$one" \
	    || echo "$$one cannot be installed here: what needs it is left out"; done < bench/peers.txt
	@touch $@

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Mulligan and what the demo computes with (a minute at most)"
	@$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Mulligan and what its tests need (a minute or two)"
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.demo

$(VENV)/.mutants: pyproject.toml constraints.txt | $(VENV)/.dev
	@$(PIP) --editable '.[mutants]'
	@touch $@
