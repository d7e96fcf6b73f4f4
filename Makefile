# Two commands matter: `make demo` shows Tako at work, `make test` says whether it is right.
# Everything is built inside this directory; a second run does only what has changed.

DATA_DIR ?= .demo
HTTP_PORT ?= 8080
HTTPS_PORT ?= 8443
API_PORT ?= 6440
METRICS_PORT ?= 9898
export DATA_DIR HTTP_PORT HTTPS_PORT API_PORT METRICS_PORT

PYTHON := .venv/bin/python

.PHONY: help demo stop test check lint test-rust test-sdks test-python e2e soak bench bench-proxy fuzz setup clean

help:
	@echo "make demo    build everything, start a server with its data in $(DATA_DIR), run the examples"
	@echo "make stop    stop the demo's server, its proxy and its applications"
	@echo "make test    formatting, types, layers and every test but e2e"
	@echo "make e2e     kill things under load, on real servers"
	@echo "make soak    a million requests, and what they leave in memory"
	@echo "make bench   measure, and write docs/benchmarks.md"
	@echo "make bench-proxy   measure tako-proxyd beside nginx, HAProxy and Caddy"
	@echo "make fuzz    look for bytes that break tako-proxyd, FUZZ_SECONDS for each target"
	@echo "make clean   remove what was built, and the demo's data"

demo:
	@scripts/demo.sh

stop:
	@scripts/stop.sh

setup:
	@scripts/setup.sh dev

test: check test-python

# All of `make test` that does not end in pytest's summary.
check: lint test-rust test-sdks

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy tako e2e bench
	.venv/bin/lint-imports
	cd proxyd && cargo fmt --check

test-rust:
	cd proxyd && cargo clippy --quiet --locked --all-targets -- -D warnings
	cd proxyd && cargo test --quiet --locked

test-sdks: setup
	scripts/test-sdks.sh

test-python: setup
	$(PYTHON) -m pytest tests -rs

e2e: setup
	$(PYTHON) -m pytest e2e -rs

# A million requests of every kind: what they leave behind in memory.
soak:
	cd proxyd && TAKO_SOAK_REQUESTS=1000000 cargo test --release --locked memory_does_not -- --nocapture

bench: setup
	$(PYTHON) -m bench

# About 20 minutes; `.venv/bin/python -m bench.proxy --quick` takes 2 and writes nothing.
bench-proxy: setup
	$(PYTHON) -m bench.proxy

# What is found is kept in proxyd/fuzz/artifacts; RUSTC_BOOTSTRAP because cargo fuzz asks the compiler for instrumentation.
FUZZ_SECONDS ?= 60
fuzz:
	command -v cargo-fuzz >/dev/null || cargo install --quiet --locked cargo-fuzz
	cd proxyd && for target in $$(cargo fuzz list); do \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none $$target -- -max_total_time=$(FUZZ_SECONDS) -dict=fuzz/request.dict \
			|| exit 1; \
	done

clean: stop
	rm -rf .venv $(DATA_DIR) build dist *.egg-info proxyd/target
	rm -rf sdks/javascript/node_modules sdks/javascript/dist sdks/python/src/*.egg-info
