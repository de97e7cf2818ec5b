// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The walk for every depth. Made to be quick to verify rather than to run fast,
 * because every gate has it and the verifier follows it for each: the way up is
 * climbed anew for every component, so the cost is quadratic, which the limit
 * keeps below that of a few ordinary system calls.
 */
#include "path.h"

struct walk {
	const struct tables *tables;
	struct states *states;
	__u64 leaf;
	__u32 depth;
};

/* bpf_loop's callback: steps over the component that is ``index`` below the root. */
static long step_down(__u32 index, struct walk *walk)
{
	__u32 zero = opaque_zero(walk->tables), up = walk->depth - 1 - index;
	__u64 at = walk->leaf;

	for (int i = 0; i < GUARD_LIMIT_DEPTH; i++) {
		if (i >= unrefined(up, zero))
			break;
		at = parent_of(at);
	}
	guard_step_all(walk->tables, walk->states, name_of(at), name_length(at));
	return 0;
}

__noinline int guard_walk_deep(const struct tables *tables, __u64 leaf, struct states *states)
{
	struct walk walk = { .tables = tables, .states = states, .leaf = leaf };
	__u64 at = leaf;
	__u32 depth;

	if (!tables || !states)
		return 0;
	depth = opaque_zero(tables);
	for (int i = 0; i <= GUARD_LIMIT_DEPTH; i++) {
		__u64 parent = parent_of(at);

		if (parent == at)
			break;
		at = parent;
		depth++;
	}
	depth = unrefined(depth, opaque_zero(tables));
	if (depth > GUARD_LIMIT_DEPTH)
		return 0;
	walk.depth = depth;
	bpf_loop(depth, step_down, &walk, 0);
	return 1;
}
