# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#
# make demo        set up this machine, build a small kernel-like project, show what came out
# make test        set up this machine; lint, Rust tests, Python tests, a real Linux 6.12
# make test-quick  the same without the real kernel, an emulated machine and compilers for others
# make docs        the documentation as a site, into site/
# make wheel       the wheel for many systems, and the sdist, into dist/
# make lint        style, types and lints alone
# make install     build the package and install it into .venv
# make clean       remove what these made, except .test-cache (the kernel that was built)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# CI runs both so that the lines are counted that they reach.
PYTEST ?= $(BIN)/pytest
CARGO_TEST ?= cargo test
# On all processors; see tests/conftest.py for what stays together.
WORKERS := -n auto --dist loadgroup
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
CARGO_ARGS := --quiet --locked --manifest-path native/Cargo.toml

# A Rust from rustup is found even where the shell's profile does not name it; so is Ubuntu's of a
# version of its own.
export PATH := $(HOME)/.cargo/bin:$(shell ls -d /usr/lib/rust-*/bin 2>/dev/null | sort -V | tail -n 1 | \
	sed 's/$$/:/')$(PATH)

SOURCES := pyproject.toml setup.cfg setup.py README.md tools/build_backend.py tools/link-static \
	tools/manual.py $(wildcard LICENSES/*) \
	$(shell find native kbuild_btf fixtures makefile-snippets \
		\( -name target -o -name __pycache__ -o -name '*.so' \) -prune -o -type f -print)

.PHONY: demo docs test test-quick kernel lint cargo-test install setup-demo setup-quick setup-test setup-lines wheel clean
.DEFAULT_GOAL := demo
# Each step prints its own result; two at once would mix them. cargo and make use all cores.
.NOTPARALLEL:

demo: setup-demo install
	@$(BIN)/kbuild-btf demo

test: setup-test lint cargo-test kernel
	@$(PYTEST) $(WORKERS)

test-quick: setup-quick lint cargo-test
	@$(PYTEST) $(WORKERS) -m "not kernel"

# Before pytest, which has a deadline for each test: the kernel is built once, and again by programs
# that have changed.
kernel: $(VENV)/test-tools
	@$(BIN)/python tests/kernel.py

setup-demo setup-quick setup-test setup-lines: setup-%:
	@tools/setup $*

install: $(VENV)/installed

# `pip install .` as a user does it, not an editable install: demo and tests see what users get.
# Without build isolation a rebuild needs no network.
$(VENV)/installed: $(VENV)/created $(SOURCES)
	@$(PYTHON) tools/build_backend.py
	@echo "compiling kbuild-btf (3 minutes of one processor the first time)"
	@rm -rf build
	@$(BIN)/python -W ignore setup.py --quiet build_rust
	@echo "installing it into $(VENV)"
	@$(PIP) install --no-build-isolation .
	@touch $@

$(VENV)/test-tools: pyproject.toml $(VENV)/installed
	@echo "installing what the tests need into $(VENV)"
	@$(PIP) install --group test
	@touch $@

$(VENV)/created: pyproject.toml
	@$(PYTHON) tools/build_backend.py
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade 'pip>=25.1' 'setuptools>=77.0.3' 'setuptools-rust>=1.13,<2' \
		'argparse-manpage>=4.6' 'shtab>=1.8'
	@touch $@

lint: $(VENV)/test-tools
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@cargo fmt --manifest-path native/Cargo.toml --all --check
	@PYO3_PYTHON=$(CURDIR)/$(BIN)/python \
		cargo clippy $(CARGO_ARGS) --workspace --all-targets -- -D warnings

cargo-test:
	@$(CARGO_TEST) $(CARGO_ARGS)

docs: setup-demo $(VENV)/test-tools
	@$(BIN)/sphinx-build -W --keep-going -q -b html -d site/.doctrees docs site
	@echo "site/index.html"

wheel: setup-demo $(VENV)/created
	@tools/wheel

clean:
	rm -rf $(VENV) build dist site *.egg-info native/target .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
