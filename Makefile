# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#
# make demo        set up this machine, build a small kernel-like project, show what came out
# make test        set up this machine; lint, Rust tests, Python tests, a real Linux 6.12
# make test-quick  the same without the real kernel
# make lint        style, types and lints alone
# make install     build the package and install it into .venv
# make clean       remove what these made, except .test-cache (the kernel that was built)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
CARGO_ARGS := --quiet --locked --manifest-path native/Cargo.toml

# A Rust from rustup is found even where the shell's profile does not name it.
export PATH := $(HOME)/.cargo/bin:$(PATH)

SOURCES := pyproject.toml setup.cfg setup.py README.md tools/build_backend.py tools/manual.py $(wildcard LICENSES/*) \
	$(shell find native kbuild_btf fixtures makefile-snippets \
		\( -name target -o -name __pycache__ -o -name '*.so' \) -prune -o -type f -print)

.PHONY: demo test test-quick lint cargo-test install setup-demo setup-test clean
.DEFAULT_GOAL := demo
# Each step prints its own result; two at once would mix them. cargo and make use all cores.
.NOTPARALLEL:

demo: setup-demo install
	@$(BIN)/kbuild-btf demo

test: setup-test lint cargo-test
	@$(BIN)/pytest

test-quick: setup-test lint cargo-test
	@$(BIN)/pytest -m "not kernel"

setup-demo setup-test: setup-%:
	@tools/setup $*

install: $(VENV)/installed

# `pip install .` as a user does it, not an editable install: demo and tests see what users get.
# Without build isolation a rebuild needs no network.
$(VENV)/installed: $(VENV)/created $(SOURCES)
	@$(PYTHON) tools/build_backend.py
	@echo "building and installing kbuild-btf into $(VENV) (a minute the first time)"
	@rm -rf build
	@$(PIP) install --no-build-isolation .
	@touch $@

$(VENV)/test-tools: pyproject.toml $(VENV)/installed
	@$(PIP) install --group test
	@touch $@

$(VENV)/created: pyproject.toml
	@$(PYTHON) tools/build_backend.py
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade 'pip>=25.1' 'setuptools>=77.0.3' 'setuptools-rust>=1.13,<2' \
		'argparse-manpage>=4.6' 'shtab>=1.8'
	@touch $@

lint: $(VENV)/test-tools
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@cargo fmt --manifest-path native/Cargo.toml --check
	@cargo clippy $(CARGO_ARGS) --all-targets -- -D warnings
	@PYO3_PYTHON=$(CURDIR)/$(BIN)/python \
		cargo clippy $(CARGO_ARGS) --features python -- -D warnings

cargo-test:
	@cargo test $(CARGO_ARGS)

clean:
	rm -rf $(VENV) build *.egg-info native/target .hypothesis .mypy_cache .pytest_cache .ruff_cache
