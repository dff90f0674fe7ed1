# Every task of the repository. `make` alone lists them; each one does the set-up that it needs.

PYTHON ?= python3
SECONDS ?= 60
MINUTES ?= 5
# What the one extension module is to serve.
VERSIONS ?= 3.11 3.12 3.13 3.14

VENV := .venv
BIN := $(VENV)/bin
TOOLS := $(VENV)/.tools
BUILT := $(VENV)/.built
PEERS := $(VENV)/.peers
RUST_BENCH := target/bench-rust/release/saranwrap-bench

# An extension module from elsewhere must not leak in, and nothing may be installed outside the environment.
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONPATH PYTHONHOME

RUST_SOURCES := $(shell find crates -path '*/tests' -prune -o \( -name '*.rs' -o -name '*.py' -o -name Cargo.toml \) -print)
EXTENSION := $(wildcard python/saranwrap/_native*.so)

# A minimal Rust comes without clippy and rustfmt. That keeps nobody from running the tests, but CI insists on both.
# $(1): the subcommand, $(2): its arguments, $(3): the component that brings it.
define cargo-component
@if cargo $(1) --version >/dev/null 2>&1 || [ -n "$$CI" ]; then set -x; cargo $(1) $(2); \
else echo "skipped: 'cargo $(1)' is not installed; 'rustup component add $(3)' brings it"; fi
endef

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- set-up: each step leaves a stamp, so that doing it again costs nothing ----

.PHONY: setup
setup: $(TOOLS) ## make .venv with the build and test tools (PYTHON=python3.13 picks the interpreter)

$(TOOLS): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Saranwrap needs Python 3.11 or newer, and '$(PYTHON)' is not that: say 'make PYTHON=python3.12 ...'" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	@touch $@

.PHONY: build
build: $(BUILT) ## compile the extension module into .venv

# The wheel is an editable one: changes of Python files need no build. A deleted extension module needs one.
$(BUILT): $(TOOLS) pyproject.toml Cargo.toml $(wildcard Cargo.lock) $(RUST_SOURCES) $(if $(EXTENSION),,missing-extension)
	$(BIN)/maturin develop --release
	@touch $@

.PHONY: missing-extension
missing-extension:

$(PEERS): $(TOOLS) requirements-bench.txt
	$(BIN)/python -m pip install --quiet --requirement requirements-bench.txt
	@touch $@

# The floor of a Rust program is Python inside of it, where there is a shared library of that.
$(RUST_BENCH): $(TOOLS) $(RUST_SOURCES) $(wildcard bench/rust/src/*.rs bench/rust/Cargo.*)
	cargo build --release --manifest-path bench/rust/Cargo.toml --target-dir target/bench-rust \
	    $$($(BIN)/python -c 'import sysconfig as s; print("--features embedded" if s.get_config_var("Py_ENABLE_SHARED") else "")')
	@touch $@

# ---- use ----

.PHONY: demo
demo: build ## show the main job on real input
	@$(BIN)/python examples/demo.py

# ---- tests and checks ----

.PHONY: test
test: format-check lint types test-rust test-python ## run every check and every test of both languages

# Some of them put their objects into the interpreter of .venv.
.PHONY: test-rust
test-rust: build ## run the tests of the engine
	cargo test --workspace --exclude saranwrap-python --all-features

.PHONY: test-python
test-python: build ## run the tests of the package over each transport (ARGS='-k name' narrows them)
	$(BIN)/python -m pytest $(ARGS)
	SARANWRAP_TRANSPORT=stream $(BIN)/python -m pytest -q $(ARGS)

.PHONY: test-versions
test-versions: build ## run the tests of the package on each CPython that is found (VERSIONS='3.12 3.13', ARGS='-k name')
	tests/versions '$(VERSIONS)' $(ARGS)

.PHONY: lint
lint: setup ## look for faults in the text of both languages
	$(call cargo-component,clippy,--workspace --all-targets --all-features -- -D warnings,clippy)
	$(call cargo-component,clippy,--package saranwrap --no-default-features -- -D warnings,clippy)
	$(BIN)/ruff check .

.PHONY: format
format: setup ## rewrite both languages in the agreed layout
	cargo fmt --all
	$(BIN)/ruff check --select I --fix .
	$(BIN)/ruff format .

.PHONY: format-check
format-check: setup ## fail where `make format` would change something
	$(call cargo-component,fmt,--all --check,rustfmt)
	$(BIN)/ruff format --check .

.PHONY: types
types: build ## check the types of the package, and its stub against the extension module
	$(BIN)/mypy
	$(BIN)/stubtest --mypy-config-file pyproject.toml --allowlist tests/stubtest.txt saranwrap._native

.PHONY: matrix
matrix: build ## the portable child in every interpreter that is found: a table of what passed
	$(BIN)/python tests/matrix $(ARGS)

.PHONY: transparency
transparency: build ## run CPython's own tests against proxies, and write docs/transparency.md
	$(BIN)/python -m tests.transparency --markdown docs/transparency.md

# ---- measurements ----

# With ARGS a part of the workloads is shown, and nothing written.
.PHONY: bench
bench: build $(PEERS) $(RUST_BENCH) ## measure against peers and floors into docs/bench (QUICK=1 or LONG=1, ROUNDS=5, ARGS='-k name')
	$(BIN)/python -m bench --scale $(if $(QUICK),quick,$(if $(LONG),long,full)) \
	    $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ARGS),$(ARGS),--out docs/bench)

.PHONY: bench-rust
bench-rust: ## measure the rooms of the engine by themselves (ARGS='name' narrows it)
	cargo bench --package saranwrap -- $(ARGS)

.PHONY: instructions
instructions: ## count the instructions of a call with callgrind, where valgrind is installed
	bench/instructions

.PHONY: soak
soak: build ## everything at once for MINUTES=5, with children that are killed meanwhile
	$(BIN)/python -m tests.soak $(MINUTES)

.PHONY: fuzz
fuzz: ## feed mutated bytes to the decoders, SECONDS=60 for each target
	fuzz/run $(SECONDS)

# ---- artefacts ----

.PHONY: docs
docs: build ## build the crate manual, and run every example in the documents
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --workspace --exclude saranwrap-python --all-features
	$(BIN)/python -m pytest tests/test_docs.py tests/test_examples.py

.PHONY: wheel
wheel: setup ## build a wheel into dist/
	$(BIN)/maturin build --release --out dist

.PHONY: clean
clean: ## delete all that the other targets made
	cargo clean
	rm -rf $(VENV) dist python/saranwrap/_native*.so .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
