// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The automaton's byte loops, as global functions: the verifier checks each
 * once with unknown arguments instead of at every component of every path.
 */
#include "automaton.h"

/*
 * Steps over the first ``size`` bytes of low and high, 16 at most, in memory
 * order (little-endian). Returns the new state.
 */
__noinline __u32 guard_step_words(const struct tables *tables, __u32 state, __u64 low,
				  __u64 high, __u32 size)
{
	if (!tables)
		return 0;
#pragma unroll
	for (int i = 0; i < 8; i++) {
		if (i >= size)
			return state;
		state = step_byte(tables, state, low);
		low >>= 8;
	}
#pragma unroll
	for (int i = 8; i < 16; i++) {
		if (i >= size)
			return state;
		state = step_byte(tables, state, high);
		high >>= 8;
	}
	return state;
}

/* Steps over the first ``size`` bytes of a block, 64 at most. Returns the new state. */
__noinline __u32 guard_step_block(const struct tables *tables, __u32 state,
				  const struct block *block, __u32 size)
{
	if (!tables || !block)
		return 0;
	for (int i = 0; i < sizeof(block->bytes); i++) {
		if (i >= size)
			break;
		state = step_byte(tables, state, block->bytes[i]);
	}
	return state;
}
