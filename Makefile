# `make test` is what CI runs. It installs what it needs where it may (root on Debian), and says loudly what it skips.
SHELL := /bin/bash
.DELETE_ON_ERROR:

CARGO ?= cargo
DENY := target/tools/bin/cargo-deny

.PHONY: test quick check tests linted-tests deny arrows schemas openapi smoke lab bench soak fuzz mutants audit peers help

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: peers arrows linted-tests deny smoke ## Everything but the lab matrix (about 30 min on 2 cores)

# The smoke run takes the program that the tests were built with.
test: export BINARY = $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/debug/cloud-manager

quick: check arrows tests ## What needs no further packages

peers: ## Install the programs that tests talk to (ipmi_sim, ipmitool, a Redfish emulator, schemathesis, PostgreSQL, MariaDB)
	tests/tools/install-peers

check: ## Format and lints, warnings are errors
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

tests: ## Every test of the workspace
	$(CARGO) test --workspace --locked --no-fail-fast

# One build for lints and tests: clippy-driver is the compiler with lints. Apart, every dependency is compiled twice.
linted-tests: export RUSTC_WORKSPACE_WRAPPER := clippy-driver
linted-tests: export CLIPPY_ARGS := -Dwarnings__CLIPPY_HACKERY__
linted-tests: tests ## check and tests at once

arrows: ## The dependency arrows of ARCHITECTURE.md point one way
	tests/tools/arrows

deny: $(DENY) ## Licences, bans and sources of dependencies
	$(DENY) --all-features check --hide-inclusion-graph bans licenses sources

$(DENY):
	$(CARGO) install cargo-deny --version 0.20.2 --locked --debug --root target/tools

audit: $(DENY) ## Known vulnerabilities; needs the advisory database
	$(DENY) check advisories || echo "SKIPPED: the advisory database could not be reached, or it knows something: read above"

schemas: ## Write the JSON Schemas that are checked in
	UPDATE_SCHEMAS=1 $(CARGO) test -p schemas --locked --test generated

openapi: ## Write the OpenAPI document that is checked in
	UPDATE_OPENAPI=1 $(CARGO) test -p api-server --locked --test api openapi::

smoke: ## One drain, one evacuation and the contract of the API on a real OpenStack (installs it: about 10 min)
	tests/openstack/smoke

NOVA ?= $(CURDIR)/target/nova-2025.2

# Each Nova is started once; auto-speed takes 24 guests of its own accord (as with `--guests 24 --runs 3 auto-speed`), watch-haproxy about 20 min
# (WATCH_MINUTES is how long one watch has to live, 15).
lab: peers ## The matrix and the stories on a real OpenStack with 5 hosts, on Nova 26.2 and on 2025.2 (installed from PyPI into NOVA)
	tests/openstack/e2e --runs 3 all
	tests/openstack/e2e --nova $(NOVA) --runs 3 all

# One build for everything that is run in release: another choice of packages would have other features, and build all again.
RELEASE := $(CARGO) build --release --locked -p cloud-manager -p workspace-tests --bin cloud-manager --bin bench --bin soak

PARTS ?=

bench: ## The table of speed and size in README.md (release build); PARTS="steady rack" takes only these
	$(RELEASE)
	target/release/bench $(PARTS)

FROM ?= 0
N ?= 20000

soak: ## N random schedules of two controllers from seed FROM (release build; says how to go on later)
	$(RELEASE)
	target/release/soak --from $(FROM) --n $(N)

CASES ?= 20000

fuzz: ## The parsers (objects, merge, selectors, queries, tokens of pages, policies, access rules) with CASES random inputs each
	PROPTEST_CASES=$(CASES) $(CARGO) test --workspace --locked --lib

mutants: ## Four rules broken on purpose, each in a copy of the tree, are found out by soak
	tests/tools/mutants
