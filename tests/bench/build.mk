# SPDX-License-Identifier: Apache-2.0
# The BPF side of the ingress benchmark.

.PHONY: bench-ingress
build/xdp_keys.bpf.o: tests/bench/xdp_keys.bpf.c
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@

bench-ingress: setup build/xdp_keys.bpf.o ## the ingress filter's figures, against nftables and others
	$(PYTHON) -m tests.bench.xdp
