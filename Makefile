# SPDX-License-Identifier: Apache-2.0
# The front door: `make help` lists what there is.

PYTHON := .venv/bin/python
# The kernels whose guests `make test` and `make test-more` boot, the latter the oldest;
# `make test-kernels` adds the newest.
TEST_KERNELS := 6.1 6.12
OLDEST := $(firstword $(TEST_KERNELS))
# Seconds for one guest's whole suite.
GUEST_TIMEOUT := 2700
C_FILES = $(wildcard lsm/*.[ch] lsm/*/*.[ch] guard/audit/*.c tests/*/*.c tests/*/*/*.c)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

# `objects` and `wire`: the BPF side's build is described beside its sources.
-include lsm/build.mk
# `formatter`: the optional C half of the audit stream's way to lines.
-include guard/audit/build.mk
# `drivers`: small C programs that the kernel suite runs.
-include tests/kernel/drivers/build.mk
# `bench-ingress` and `test-ingress-differential`.
-include tests/bench/build.mk

.PHONY: setup packages venv
setup: venv ## install all that is needed; leaves .venv/bin/guard
	@$(MAKE) --silent objects formatter

packages:
	@packaging/setup/packages

venv: packages
	@packaging/setup/venv

.PHONY: demo
demo: setup ## watch a policy deny on a real kernel; touches only its own files
	@packaging/demo/run

.PHONY: bypasses
bypasses: setup ## the list of bypasses: which are held, and by which tests
	@$(PYTHON) -m tests.kernel.bypasses

# What `make test-bypasses`, `make test-kernel-differential` and `make stress` boot.
PROOF_KERNELS := $(TEST_KERNELS) newest
# More of their kernels' command line, such as preempt=full.
PROOF_APPEND :=

.PHONY: test-bypasses test-kernel-differential stress
test-bypasses: setup drivers ## every bypass's tests on three kernels, and how they ended there
	@$(PYTHON) -m tests.kernel.bypasses --append "$(PROOF_APPEND)" --run $(PROOF_KERNELS)

# One boot for each kernel, with the tests and variables that a target gives.
proof = set -e; for kernel in $(PROOF_KERNELS); do \
	$(PYTHON) -m tests.vm run --kernel $$kernel --timeout $(GUEST_TIMEOUT) --append "$(PROOF_APPEND)" \
		--env GUARD_REQUIRE_KERNEL=1 --env $(1) -- \
		$(PYTHON) -m pytest -q -s -p no:cacheprovider -m kernel $(2); done

test-kernel-differential: setup drivers ## 5 000 acts of all sections on three kernels: kernel, tables and evaluator
	@$(call proof,GUARD_KERNEL_CASES=5000,tests/kernel/test_sets_differential.py)

stress: setup drivers ## too many processes, denials, renames, switches and a stock system's work
	@$(call proof,GUARD_STRESS=1,tests/kernel/test_stress.py tests/kernel/test_stock.py \
		tests/kernel/test_races.py tests/kernel/test_switch.py tests/kernel/test_events.py)

.PHONY: test test-more lint types test-unit test-ingress test-kernels test-without-bpf test-receivers
# Cheapest first: a later stage is not worth its time when an earlier one fails.
# The guests run two at a time: each is emulated by one thread.
test: setup ## lint, types, unit tests, the ingress filter, and the kernel suite on 6.12
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory types
	@$(MAKE) --no-print-directory test-unit
	@$(MAKE) --no-print-directory test-ingress
	@$(PYTHON) -m tests.vm fetch $(TEST_KERNELS)
	@$(MAKE) --no-print-directory -j2 --output-sync=target \
		SUITE="kernel and not long" \
		$(patsubst %,test-kernel-%,$(filter-out $(OLDEST),$(TEST_KERNELS))) test-without-bpf

test-more: setup ## what continuous integration runs besides: real receivers, 6.1, long tests
	@$(MAKE) --no-print-directory test-receivers
	@$(MAKE) --no-print-directory -j2 --output-sync=target \
		SUITE="kernel and not long" test-kernel-$(OLDEST) test-kernel-long

# Those that take minutes each: on the kernels that `make test` boots.
.PHONY: test-kernel-long
test-kernel-long: setup drivers
	@$(MAKE) --no-print-directory SUITE="kernel and long" \
		$(patsubst %,test-kernel-%,$(filter-out $(OLDEST),$(TEST_KERNELS)))

lint: venv ## ruff's rules and form
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check

types: venv ## mypy, strict
	$(PYTHON) -m mypy

test-unit: setup ## all tests that need no root and no kernel
	$(PYTHON) -m pytest -q -m "not kernel and not netns and not receivers"

# Generated cases that `make test-differential` compares, for sockets alone and for all sections.
CASES := 100000

.PHONY: test-differential test-net-differential
test-differential: venv ## 100 000 cases of all sections and subjects: the tables against the evaluator
	GUARD_CASES=$(CASES) $(PYTHON) -m pytest -q -s -p no:cacheprovider tests/plan/test_sets_differential.py

test-net-differential: venv ## 100 000 operations on sockets: the tables against the evaluator
	GUARD_NET_CASES=$(CASES) $(PYTHON) -m pytest -q -s -p no:cacheprovider tests/plan/test_net_differential.py

# Seconds for all of them; each has limits of its own.
RECEIVERS_TIMEOUT := 300

test-receivers: setup ## the shipper's sinks against real receivers, on loopback
	@packaging/setup/receivers
	GUARD_REQUIRE_RECEIVERS=1 timeout $(RECEIVERS_TIMEOUT) \
		$(PYTHON) -m pytest -q -p no:cacheprovider -m receivers tests/ship

test-ingress: setup ## the ingress filter between network namespaces, natively; needs root
	$(PYTHON) -m pytest -q -p no:cacheprovider -m netns tests

test-kernels: setup ## the kernel suite on 6.1, 6.12 and the archive's newest kernel
	@$(MAKE) --no-print-directory $(TEST_KERNELS:%=test-kernel-%) test-kernel-newest

# Which of the kernel suite's tests a boot runs, by their marks.
SUITE := kernel

# One boot, one suite. The guest sees this checkout at its own path.
test-kernel-%: setup drivers
	@$(PYTHON) -m tests.vm fetch $*
	$(PYTHON) -m tests.vm run --kernel $* --timeout $(GUEST_TIMEOUT) --env GUARD_REQUIRE_KERNEL=1 -- \
		$(PYTHON) -m pytest -q -p no:cacheprovider -m "$(SUITE)" tests/kernel

# Boots without bpf among the LSMs, on the last of the kernels: one that does not preempt
# itself (Debian's default there), one that does.
test-without-bpf: test-without-bpf-voluntary test-without-bpf-full

test-without-bpf-%: setup
	@$(PYTHON) -m tests.vm fetch $(lastword $(TEST_KERNELS))
	$(PYTHON) -m tests.vm run --kernel $(lastword $(TEST_KERNELS)) --lsm lockdown,capability,yama \
		--append preempt=$* --env GUARD_REQUIRE_KERNEL=1 -- \
		$(PYTHON) -m pytest -q -p no:cacheprovider -m kernel tests/kernel/without_bpf

.PHONY: format lint-c lock wheel bench clean
format: venv ## put all sources into form
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format
	clang-format -i $(C_FILES)

lint-c: ## clang-format's form of the C files
	clang-format --dry-run --Werror $(C_FILES)

lock: ## resolve the dependencies anew into the lock files
	packaging/setup/lock

wheel: setup ## a wheel with the compiled objects, in build/dist
	$(PYTHON) -m pip wheel -q --no-build-isolation --no-deps -w build/dist .

bench: setup ## the figures of docs/benchmarks.md
	$(PYTHON) -m tests.bench.startup
	$(PYTHON) -m tests.bench.check
	$(PYTHON) -m tests.bench.compile
	$(PYTHON) -m tests.bench.records
	$(PYTHON) -m tests.bench.events
	$(PYTHON) -m tests.bench.cost
	$(PYTHON) -m tests.bench.cost_ops

clean: ## remove what was built; kernels stay in the cache
	rm -rf build guard/objects guard.egg-info .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find guard tests -name __pycache__ -type d -prune -exec rm -rf {} +
