// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The automaton's byte loops, as global functions: the verifier checks each
 * once with unknown arguments instead of at every component of every path.
 */
#include "automaton.h"

/*
 * Steps over byte ``i``, a constant, of a word in memory order (little-endian).
 * The byte is shifted to twice its value, its offset in root.column, at once.
 */
static __always_inline __u32 step_byte(const struct tables *tables, __u32 state, __u64 word,
				       const int i)
{
	const void *at = at_offset(tables, (i ? word >> (8 * i - 1) : word << 1) & 0x1fe);

	return step(tables, state, *(const __u16 *)(at + offsetof(struct tables, root.column)));
}

/*
 * Steps over the first ``size`` bytes of a word, 1 to 8. Returns the new state.
 * Written out, because the loop is what every open pays for and clang would
 * not unroll it. Four arguments leave enough registers that none is saved.
 */
__noinline __u32 guard_step_word(const struct tables *tables, __u32 state, __u64 word, __u32 size)
{
	if (!tables)
		return 0;
	state = step_byte(tables, state, word, 0);
	if (size <= 1)
		return state;
	state = step_byte(tables, state, word, 1);
	if (size == 2)
		return state;
	state = step_byte(tables, state, word, 2);
	if (size == 3)
		return state;
	state = step_byte(tables, state, word, 3);
	if (size == 4)
		return state;
	state = step_byte(tables, state, word, 4);
	if (size == 5)
		return state;
	state = step_byte(tables, state, word, 5);
	if (size == 6)
		return state;
	state = step_byte(tables, state, word, 6);
	if (size == 7)
		return state;
	return step_byte(tables, state, word, 7);
}

/* Steps over a whole word. */
__noinline __u32 guard_step_full(const struct tables *tables, __u32 state, __u64 word)
{
	if (!tables)
		return 0;
	state = step_byte(tables, state, word, 0);
	state = step_byte(tables, state, word, 1);
	state = step_byte(tables, state, word, 2);
	state = step_byte(tables, state, word, 3);
	state = step_byte(tables, state, word, 4);
	state = step_byte(tables, state, word, 5);
	state = step_byte(tables, state, word, 6);
	return step_byte(tables, state, word, 7);
}

/*
 * Steps over a name of up to 255 bytes at kernel address ``name``. Returns the
 * new state. A name that cannot be read is being freed by a rename, which the
 * check of rename_lock finds. Word by word, because the whole chain of calls
 * shares 512 bytes of stack.
 */
__noinline __u32 guard_step_long(const struct tables *tables, __u32 state, __u64 name, __u32 size)
{
	__u64 word = 0;

	if (!tables)
		return 0;
	for (int done = 0; done < 256; done += sizeof(word)) {
		__u32 part = unrefined(size, opaque_zero(tables)) - done;

		if (done >= unrefined(size, opaque_zero(tables)))
			break;
		/* One register for the value and its check, or the verifier sees no bound. */
		asm volatile("" : "+r"(part));
		if (part > sizeof(word))
			part = sizeof(word);
		if (bpf_probe_read_kernel(&word, part, (void *)name + done))
			break;
		state = guard_step_word(tables, state, word, part);
	}
	return state;
}

/*
 * Steps every state over '/' and then over a name, as guard_step_long does, but
 * reads each word of the name once for all of them.
 */
__noinline int guard_step_all(const struct tables *tables, struct states *states, __u64 name,
			      __u32 size)
{
	__u64 word = 0;

	if (!tables || !states)
		return 0;
#pragma unroll
	for (int group = 0; group < GUARD_LIMIT_GROUPS; group++)
		states->state[group] = step_slash(tables, states->state[group]);
	for (int done = 0; done < 256; done += sizeof(word)) {
		__u32 part = unrefined(size, opaque_zero(tables)) - done;

		if (done >= unrefined(size, opaque_zero(tables)))
			break;
		/* One register for the value and its check, or the verifier sees no bound. */
		asm volatile("" : "+r"(part));
		if (part > sizeof(word))
			part = sizeof(word);
		if (bpf_probe_read_kernel(&word, part, (void *)name + done))
			break;
#pragma unroll
		for (int group = 0; group < GUARD_LIMIT_GROUPS; group++)
			states->state[group] =
				guard_step_word(tables, states->state[group], word, part);
	}
	return 0;
}
