# Everything runs from .venv, which `make install` builds from exact versions (constraints.txt). Needs python3 >= 3.11.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
EXTRAS := plot,graphs,bqm,arviz,flows,mcmc,numpyro,stan,data,dev
WORKERS ?= 2

.PHONY: install constraints demo test test-slow lint format types docs check clean

install: $(STAMP)

$(STAMP): pyproject.toml checker/pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Calipers needs Python 3.11 or newer; try: make install PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[$(EXTRAS)]" -e ./checker
	@echo "compiling the kernels once (they are cached beside the source)"
	$(BIN)/calipers compare "square:4x4,J=pm1,h=gauss:0.1,beta=1,seed=1" --time-limit 60 > /dev/null 2>&1 || test $$? -eq 3
	$(BIN)/python -m calipers.testing.warm
	touch $(STAMP)

constraints: $(STAMP)
	{ head -n 1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable; } > constraints.new
	mv constraints.new constraints.txt

# A frustrated magnet too wide to be solved exactly in the time: the bracket closes while you watch (exit 3 = limit came first).
demo: $(STAMP)
	$(BIN)/calipers logz "square:32x32,J=pm1,h=gauss:0.1,beta=1,seed=1,open" --time-limit 20 --certificate magnet.cert || test $$? -eq 3
	$(BIN)/calipers verify magnet.cert

test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

test-slow: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP)
	$(BIN)/mypy

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

check: test lint types docs

clean:
	rm -rf .venv site .pytest_cache .mypy_cache .ruff_cache .hypothesis
