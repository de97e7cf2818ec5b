// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The one translation unit: every gate and what they share, in one object.
 *
 * Not joined by `bpftool gen object`: its linker (libbpf 1.1) cannot resolve a
 * weak kernel function that two objects declare.
 */
#include "maps.bpf.c"
#include "wire_anchor.bpf.c"
#include "automaton.bpf.c"
#include "path.bpf.c"
#include "cgroup.bpf.c"
#include "ids.bpf.c"
#include "report.bpf.c"
#include "repeat.bpf.c"
#include "file.bpf.c"
#include "inode.bpf.c"
#include "twonames.bpf.c"
#include "exec.bpf.c"
#include "descriptor.bpf.c"
#include "task.bpf.c"
#include "contents.bpf.c"
#include "ops.bpf.c"
#include "net.bpf.c"
#include "unix.bpf.c"
#include "sctp.bpf.c"
