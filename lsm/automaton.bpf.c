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

/*
 * Steps over a name of up to 255 bytes at kernel address ``name``. Returns the
 * new state. A name that cannot be read is being freed by a rename, which the
 * check of rename_lock finds. Words and not a larger buffer, because the whole
 * chain of calls shares 512 bytes of stack.
 */
__noinline __u32 guard_step_long(const struct tables *tables, __u32 state, __u64 name, __u32 size)
{
	__u64 words[2] = {};

	if (!tables)
		return 0;
	for (int done = 0; done < 256; done += sizeof(words)) {
		__u32 part = size - done;

		if (done >= size)
			break;
		/* One register for the value and its check, or the verifier sees no bound. */
		asm volatile("" : "+r"(part));
		if (part > sizeof(words))
			part = sizeof(words);
		if (bpf_probe_read_kernel(words, part, (void *)name + done))
			break;
		state = guard_step_words(tables, state, words[0], words[1], part);
	}
	return state;
}

/* Steps every state over '/' and then as guard_step_long does. */
__noinline int guard_step_all(const struct tables *tables, struct states *states, __u64 name,
			      __u32 size)
{
	if (!tables || !states)
		return 0;
	for (int group = 0; group < GUARD_LIMIT_GROUPS; group++)
		states->state[group] = guard_step_long(
			tables, step_slash(tables, states->state[group]), name, size);
	return 0;
}
