# The commands of this project. Each sets up what it needs: `make run` in a fresh clone is enough.
# Needed on the machine: make and Python 3.11, 3.12 or 3.13. PYTHON=/path/to/python3 picks one.

SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?=
TESTS ?= tests
VENV := .venv
PY := $(VENV)/bin/python
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Some machines set it. Each of our many processes would compile everything that it imports: 2 s instead of 0.5 s, and
# a megabyte more in every linker.
unexport PYTHONDONTWRITEBYTECODE

TYPED := app bench docs emulator shared tests workers .ci/lock.py
CHECKS := check-lock check-format check-lint check-imports check-generated check-types check-page check-lua check-audit

.PHONY: help setup run demo test quick chaos gallery bench check lock docs screenshots site sbom format clean $(CHECKS)

help: ## this list
	@echo "make setup   a virtual environment with everything, in $(VENV)"
	@echo "make run     Redis, web and worker; prints a link with which a first company can link its WhatsApp"
	@echo "make demo    the same against an emulated WhatsApp, as one page with a phone beside it"
	@echo "make test    every test; TESTS=tests/unit for some"
	@echo "make check   format, lint, types, imports, generated files"
	@echo "make quick   the unit and integration tests, in under two minutes: before every commit"
	@echo "make chaos   kills everything, at length: SOAK=1000 onboardings in SOAK_MINUTES=60, SOAK_SEED=1; WALK_MINUTES=20"
	@echo "make gallery  every state of the page in every language, size and theme, in Chromium"
	@echo "make bench   the benchmark: a table, bench/results.json, docs/measured.md and its figures"
	@echo "make format  put the code into shape"
	@echo "make docs    generate docs and the page's types anew"
	@echo "make site    the documents as static HTML, in site/; every link is checked"
	@echo "make screenshots  take the pictures in docs/screenshots anew; needs a Chromium"
	@echo "make lock    lock the dependencies of pyproject.toml; UPGRADE=1 takes the newest that fit"
	@echo "make sbom    the locked packages as CycloneDX, in sbom.json"
	@echo "make clean   remove environments and caches; linked devices in .run/ stay"

setup:
	@.ci/venv $(VENV) "$(PYTHON)"

run:
	@.ci/venv $(VENV) "$(PYTHON)" run
	@exec $(PY) -m app.local

demo:
	@.ci/venv $(VENV) "$(PYTHON)" demo
	@exec $(PY) -m emulator.demo

test: setup
	@.ci/test $(TESTS)

quick: setup
	@.ci/quick

chaos: setup
	@FRESH=1 MOVING=$${MOVING:-20} LIFE=$${LIFE:-5000} SOAK_LIFE=$${SOAK_LIFE:-0.01} SOAK=$${SOAK:-1000} SOAK_MINUTES=$${SOAK_MINUTES:-60} HELD=$${HELD:-100} TRAFFIC_MINUTES=$${TRAFFIC_MINUTES:-10} FUZZ=$${FUZZ:-40} TEXTS=$${TEXTS:-200} CASES=$${CASES:-20000} WALK_MINUTES=$${WALK_MINUTES:-20} $(PY) -m pytest tests/chaos tests/engine/test_ordinary_life.py tests/world/test_history.py tests/world/test_traffic.py tests/integration/test_fuzz.py tests/integration/test_description.py tests/moving/test_fleet.py --timeout=0 -s

gallery: setup
	@.ci/chromium >/dev/null
	@GALLERY=1 $(PY) -m pytest -q -s tests/page/test_lighthouse.py --timeout=600
	@GALLERY=1 $(PY) -m pytest -q -n 2 tests/page/test_states.py --timeout=600

bench: setup
	@exec $(PY) -m bench

# Every check runs, even when an earlier one failed.
check: setup
	@$(MAKE) --no-print-directory --keep-going $(CHECKS) && echo "make check: all is well"

check-lock:
	@$(PY) .ci/lock.py --check

check-format:
	@ruff format --check --quiet --output-format concise . || { echo "not in shape: make format"; exit 1; }

check-lint:
	@ruff check --quiet --output-format concise .

check-imports:
	@report=$$(lint-imports --no-cache 2>&1) || { echo "$$report"; exit 1; }

check-generated:
	@$(PY) -m docs.generate --check

check-types:
	@mypy --no-error-summary $(TYPED)

check-page:
	@.ci/page

check-lua:
	@if command -v luacheck >/dev/null; then luacheck --quiet --no-color shared/state/wa.lua; \
	else echo "SKIPPED: wa.lua is not looked at, as luacheck is not installed (Debian: apt install lua-check)"; fi

check-audit:
	@.ci/audit

format: setup
	@ruff format --quiet .
	@ruff check --quiet --fix-only .

docs: setup
	@$(PY) -m docs.generate

screenshots: setup
	@.ci/chromium >/dev/null
	@$(PY) tests/page/screenshots.py docs/screenshots
	@$(PY) tests/page/dance.py docs/screenshots/dance.webp

site: setup
	@$(PY) -m docs.site

sbom: setup
	@$(PY) .ci/sbom.py >sbom.json && echo "wrote sbom.json"

lock: setup
	@$(PY) .ci/lock.py $(if $(UPGRADE),--upgrade)

clean:
	rm -rf site sbom.json $(VENV) $(VENV)-3.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './node_modules/*' -prune -exec rm -rf {} +
