# SPDX-License-Identifier: Apache-2.0
# The ingress filter's long runs: its benchmark, and the comparison of a million packets.

.PHONY: bench-ingress test-ingress-differential
build/xdp_keys.bpf.o: tests/bench/xdp_keys.bpf.c
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@

bench-ingress: setup build/xdp_keys.bpf.o ## the ingress filter beside nftables and others
	$(PYTHON) -m tests.bench.xdp
	$(PYTHON) -m tests.bench.ingress_sets

# Four minutes on a quiet machine; as root.
test-ingress-differential: setup ## a million random packets: the evaluator and the kernel agree
	$(PYTHON) -m tests.ingress.agree 1000000
