# SPDX-License-Identifier: Apache-2.0
# The BPF objects: lsm/guard.bpf.c once per size class of the tables.

CLANG ?= clang
TABLE_BITS := 18 22 26
OBJECTS := $(TABLE_BITS:%=guard/objects/guard-%.bpf.o) guard/objects/ingress.bpf.o
# The uapi headers' asm/ directory on Debian's multiarch layout.
BPF_INCLUDE = -I/usr/include/$(shell $(CC) -print-multiarch 2>/dev/null || dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null)
BPF_CFLAGS := -target bpf -mcpu=v3 -g -O2 -Wall -Wextra -Werror \
	-Wno-unused-parameter -Wno-sign-compare -Wno-unused-label \
	-D__TARGET_ARCH_x86 $(BPF_INCLUDE)

.PHONY: objects wire wire-ingress
objects: $(OBJECTS)

# -g is needed for BTF; the DWARF beside it is not shipped.
guard/objects/guard-%.bpf.o: lsm/guard.bpf.c $(wildcard lsm/*.h lsm/*.bpf.c) lsm/build.mk
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -DGUARD_TABLE_BITS=$* -c $< -o $@.tmp
	llvm-strip -g $@.tmp
	mv $@.tmp $@

# Writes guard/wire/layout.py anew after a change of lsm/wire.h.
wire: guard/objects/guard-18.bpf.o
	@mkdir -p build
	$(PYTHON) -m guard.wire.generate $< > build/layout.py
	mv build/layout.py guard/wire/layout.py

# The ingress filter: one object for all sizes of tables.
guard/objects/ingress.bpf.o: lsm/xdp/ingress.bpf.c $(wildcard lsm/xdp/*.h) lsm/build.mk
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@.tmp
	llvm-strip -g $@.tmp
	mv $@.tmp $@

# Writes guard/wire/ingress.py anew after a change of lsm/xdp/wire.h.
wire-ingress: guard/objects/ingress.bpf.o
	@mkdir -p build
	$(PYTHON) -m guard.wire.generate_ingress $< > build/ingress.py
	mv build/ingress.py guard/wire/ingress.py
