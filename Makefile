# Every task of the project. `make` lists them.
#
# Four environments, each made from hashed requirements and kept until those change:
#   .venv-build  builds the wheel          .venv-test  the wheel, tests and checkers
#   .venv        the wheel alone (run)     .venv-dev   an editable install, for developers
# Checks read the source tree; tests import the installed wheel, so a file that the wheel lacks fails them.

PYTHON ?= python3
UV ?= uv
ARGS ?=
FUZZ_SECONDS ?= 20
PYTEST_ARGS ?=

PACKAGES := collector detectors sinks vedette
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)
WHEEL := dist/vedette-$(VERSION)-py3-none-any.whl
# Directories count too: removing a file changes nothing else.
SOURCES := $(shell find $(PACKAGES) -name __pycache__ -prune -o -print)
PIP := -m pip --disable-pip-version-check --quiet
PREFLIGHT := tools/preflight.sh "$(PYTHON)"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.SUFFIXES:

##@ Use
.PHONY: help
help: ## list the tasks
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: .venv/.installed ## install into .venv and play a sample day (ARGS="…" instead: vedette run with those)
	@exec .venv/bin/vedette run $(or $(ARGS),--sample-day)

##@ Check
.PHONY: test
test: preflight servers lint types layers deps test-fast test-servers test-simulation ## everything below, against the built wheel

.PHONY: preflight
preflight: ## say what this machine lacks
	@$(PREFLIGHT) >/dev/null

.PHONY: lint
lint: .venv-test/.ready ## style and formatting
	.venv-test/bin/ruff check
	.venv-test/bin/ruff format --check

.PHONY: types
types: .venv-test/.ready ## mypy and pyright
	.venv-test/bin/mypy
	.venv-test/bin/pyright --pythonpath .venv-test/bin/python

.PHONY: layers
layers: .venv-test/.ready ## who may import whom
	.venv-test/bin/lint-imports

.PHONY: deps
deps: .venv-test/.ready ## declared dependencies are those imported
	.venv-test/bin/deptry $(PACKAGES)

.PHONY: test-fast
test-fast: .venv-test/.installed ## tests that need nothing but Python (PYTEST_ARGS="…" is passed on)
	.venv-test/bin/pytest -m "not server and not simulation" -n 2 $(PYTEST_ARGS)

# Exit status 5 is pytest's for "nothing selected".
define pytest_perhaps_none
	@status=0; .venv-test/bin/pytest -m $(1) $(PYTEST_ARGS) || status=$$?; \
	if [ $$status -eq 5 ]; then echo "$@: there are no $(1) tests yet"; else exit $$status; fi
endef

.PHONY: servers
servers: ## fetch the real servers that tests run against
	@python=$$($(PREFLIGHT)) && "$$python" tests/servers/fetch.py

.PHONY: test-servers
test-servers: .venv-test/.installed servers ## tests against real servers
	$(call pytest_perhaps_none,server)

.PHONY: test-simulation
test-simulation: .venv-test/.installed ## journal, pipeline and sinks under seeded faults
	$(call pytest_perhaps_none,simulation)

.PHONY: fuzz
fuzz: .venv-dev/.ready ## fuzz each target in tests/fuzz for FUZZ_SECONDS
	@set -e; found=; for target in tests/fuzz/fuzz_*.py; do \
		[ -e "$$target" ] || continue; found=yes; echo "$$target"; \
		.venv-dev/bin/python "$$target" -max_total_time=$(FUZZ_SECONDS); \
	done; [ -n "$$found" ] || echo "fuzz: there are no targets in tests/fuzz yet"

.PHONY: bench
bench: ## say how to run the benchmarks
	@echo "Benchmarks live in bench/ and run from the developer's environment:"
	@echo "  make dev && .venv-dev/bin/python bench/<name>.py"
	@echo "Each runs its peers side by side, prints ratios and keeps its JSON."

##@ Develop
.PHONY: dev
dev: .venv-dev/.ready ## editable install with every tool, in .venv-dev

.PHONY: format
format: .venv-test/.ready ## format, and fix what can be fixed safely
	.venv-test/bin/ruff format
	.venv-test/bin/ruff check --fix

.PHONY: docs
docs: .venv-dev/.ready ## write the reference in docs/ anew from the code
	.venv-dev/bin/python -m tools.reference

.PHONY: wheel
wheel: $(WHEEL) ## build the wheel into dist/

LOCK = UV_PYTHON_DOWNLOADS=never $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" $(ARGS)

.PHONY: lock
lock: ## resolve pyproject.toml into requirements/ (ARGS=--upgrade takes newer versions)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: pipx install uv, or make lock UV=/path/to/uv" >&2; exit 1; }
	$(LOCK) pyproject.toml -o requirements/run.txt
	$(LOCK) pyproject.toml --group test -c requirements/run.txt -o requirements/test.txt
	$(LOCK) pyproject.toml --group test --group lint -c requirements/test.txt -o requirements/dev.txt
	$(LOCK) --group build -c requirements/dev.txt -o requirements/build.txt
	$(LOCK) --group fuzz -c requirements/dev.txt -o requirements/fuzz.txt

.PHONY: clean
clean: ## remove environments, builds and caches
	rm -rf .venv .venv-build .venv-dev .venv-test dist
	rm -rf .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(PACKAGES) tests tools -name __pycache__ -prune -exec rm -rf {} +

# --- what the tasks stand on -------------------------------------------------------------------------------------------

# Make $(@D) from the requirement files among the prerequisites.
define environment
	@python=$$($(PREFLIGHT)) && echo "$(@D): installing $(^F)" && "$$python" -m venv $(1) $(@D)
	@$(@D)/bin/python $(PIP) install --require-hashes $(^:%=-r %)
	@touch $@
endef

.venv-build/.ready: requirements/build.txt
	$(call environment,--clear)

.venv/.ready: requirements/run.txt
	$(call environment,--clear)

.venv-test/.ready: requirements/dev.txt
	$(call environment,--clear)

# Refreshed in place, because somebody may be working in it. Fuzzing is left out where atheris has no wheel.
.venv-dev/.requirements: requirements/build.txt requirements/dev.txt
	$(call environment)

.venv-dev/.ready: .venv-dev/.requirements requirements/fuzz.txt pyproject.toml
	@.venv-dev/bin/python $(PIP) install --only-binary :all: --require-hashes -r requirements/fuzz.txt || \
		echo ".venv-dev: no fuzzing here, atheris has no wheel for this Python and platform"
	@.venv-dev/bin/python $(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(WHEEL): .venv-build/.ready pyproject.toml LICENSE README.md $(SOURCES)
	@rm -rf dist && .venv-build/bin/python -m hatchling build --target wheel

.venv/.installed .venv-test/.installed: %/.installed: %/.ready $(WHEEL)
	@$*/bin/python $(PIP) install --no-index --no-deps --force-reinstall $(WHEEL)
	@touch $@
