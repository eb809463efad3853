# `make demo` shows it, `make test` proves it. What is not on a bare Debian machine, `make tools` installs or names.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CHROMIUM := /usr/bin/chromium
APT := $(if $(filter 0,$(shell id -u)),apt-get,sudo apt-get)

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

tools: ## Installs what the tests need and the machine lacks
	@missing=""; \
	test -x $(CHROMIUM) || missing="$$missing chromium"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	test -e /usr/include/openssl/ssl.h || missing="$$missing libssl-dev pkg-config"; \
	command -v mvn >/dev/null || missing="$$missing maven openjdk-17-jdk-headless"; \
	python3 -c 'import pytest' 2>/dev/null || missing="$$missing python3-pytest"; \
	python3 -c 'import ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
	if [ -n "$$missing" ]; then echo "installing:$$missing"; $(APT) update -qq && $(APT) install -y -qq $$missing >/dev/null; fi
	@for tool in cargo node npm python3; do command -v $$tool >/dev/null || { echo "missing: $$tool (Rust 1.95, Node 20, Python 3.11)"; exit 1; }; done
	@rustup target list --installed | grep -q '^wasm32-unknown-unknown$$' || rustup target add wasm32-unknown-unknown

server/assets/dist/licences.txt: server/package-lock.json server/assets/build.mjs $(shell find server/assets/style server/assets/script -type f 2>/dev/null)
	cd server && npm ci --no-audit --no-fund --silent && node assets/build.mjs

assets: server/assets/dist/licences.txt ## Fonts, icons and scripts of the pages, from npm by lock file

server: assets ## The server's binary. Apart from the phone: built together it would get the phone's SQLCipher
	cargo build -p kieumau-server

phone: ## The phone as a process, for stories and the demo
	cargo build -p kieumau-tests --bins

build: server phone bindings ## Everything that is built

bindings: ## Kotlin, Swift and Python from the shared core, into target/bindings
	cargo build -p kieumau-bindings --lib
	cargo build -p kieumau-bindings --features bindgen --bin uniffi-bindgen
	rm -rf target/bindings && mkdir -p target/bindings/resources/linux-x86-64
	for language in kotlin swift python; do \
	  target/debug/uniffi-bindgen generate --no-format --language $$language --out-dir target/bindings/$$language target/debug/libkieumau.so; \
	done
	cp target/debug/libkieumau.so target/bindings/python/
	cp target/debug/libkieumau.so target/bindings/resources/linux-x86-64/

# What `make demo` itself needs; `make tools` installs what the tests need besides.
.PHONY: demo-needs
demo-needs:
	@missing=""; \
	command -v cc >/dev/null || missing="$$missing build-essential"; \
	command -v pkg-config >/dev/null || missing="$$missing pkg-config"; \
	test -e /usr/include/openssl/ssl.h || pkg-config --exists openssl 2>/dev/null || missing="$$missing libssl-dev"; \
	for tool in cargo:Rust-1.95 node:Node-20 npm:npm; do command -v $${tool%%:*} >/dev/null || missing="$$missing $${tool##*:}"; done; \
	if [ -n "$$missing" ]; then echo "demo: missing:$$missing (Debian packages by name: apt-get install …)"; exit 1; fi

demo: demo-needs server phone ## Tells the story with two phones, then serves. ONCE=1 ends after it; TRACK=file.gpx PHOTO=file.jpg take yours
	@LISTEN='$(LISTEN)' DATA='$(DATA)' TRACK='$(TRACK)' PHOTO='$(PHOTO)' ONCE='$(ONCE)' target/debug/demo

layers: ## The import rules
	python3 tests/layers.py

tests/pages/node_modules: tests/pages/package-lock.json
	cd tests/pages && npm ci --no-audit --no-fund --silent
	touch $@

tests/automerge/node_modules: tests/automerge/package-lock.json
	cd tests/automerge && npm ci --no-audit --no-fund --silent
	touch $@

tests/tus/node_modules: tests/tus/package-lock.json
	cd tests/tus && npm ci --no-audit --no-fund --silent
	touch $@

target/tests-python: tests/tus/requirements.txt
	python3 -m venv $@
	$@/bin/pip install -q --require-hashes -r $<
	touch $@

test: tools build tests/pages/node_modules tests/tus/node_modules tests/automerge/node_modules target/tests-python ## Everything: the last line sums all runners
	python3 tests/run.py

faults: server phone ## F1 to F10 of the table of faults over real processes and sockets; LONG=1 in the long size
	$(if $(LONG),KIEUMAU_LONG=1) python3 tests/run.py "phones killed" faults

simulate: ## F19, the virtual world: SEEDS=100000 runs so many, SEED=n tells one
	KIEUMAU_SEED=$(SEED) KIEUMAU_SEEDS=$(SEEDS) cargo test -p kieumau-core --features phone --test simulator -- --nocapture --test-threads=1 \
	  $(if $(SEED),--ignored told,nothing_breaks)

deny: ## Licences, bans and sources of every dependency (builds cargo-deny once, about three minutes)
	test -x target/tools/bin/cargo-deny || cargo install cargo-deny --version 0.20.2 --locked --root target/tools
	cargo fetch --locked
	target/tools/bin/cargo-deny --offline check bans licenses sources

tests/bench/peers/node/node_modules: tests/bench/peers/node/package-lock.json
	cd tests/bench/peers/node && npm ci --no-audit --no-fund --silent
	touch $@

peers: tests/bench/peers/node/node_modules ## The servers that `make bench` measures beside ours, by their lock files
	cargo build --release --locked --manifest-path tests/bench/peers/samod/Cargo.toml

bench: assets peers ## The table of targets beside the peers, and target/bench.json. QUICK=1 in minutes; ONLY="P1 P8 F20 lose" some of it
	cargo build --release -p kieumau-server
	cargo build --release -p kieumau-tests --bins
	QUICK='$(QUICK)' python3 tests/bench/run.py $(ONLY)

reproject: server ## Rebuilds every projected row of ./data from its documents
	target/debug/kieumau reproject

.PHONY: help tools assets server phone build bindings demo layers test faults simulate deny peers bench reproject
