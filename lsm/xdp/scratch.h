/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One packet's state, in a per-CPU map and not on the stack: a tail call finds
 * it, and the verifier, which does not follow values through a map, sees one
 * state after each step and not the product of all of its branches.
 */
#ifndef GUARD_INGRESS_SCRATCH_H
#define GUARD_INGRESS_SCRATCH_H

#include "flows.h"
#include "record.h"
#include "rows.h"

/* XDP programs of one CPU do not interrupt each other: they run with soft interrupts off. */
struct scratch {
	struct ingress_decision decision;
	struct packet packet;
	struct rows rows;
	__u32 tick; /* jiffy of the last answer, and how many it had */
	__u32 in_tick;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} ingress_scratch SEC(".maps");

static __always_inline struct scratch *scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&ingress_scratch, &zero);
}

#endif
