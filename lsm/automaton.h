/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stepping the automaton over bytes, and reading rows. */
#ifndef GUARD_AUTOMATON_H
#define GUARD_AUTOMATON_H

#include "maps.h"

/* States of all automata, when they step together. */
struct states {
	__u32 state[GUARD_LIMIT_GROUPS];
};

/* Defined once in automaton.bpf.c; global, so that each is verified once. */
__u32 guard_step_word(const struct tables *tables, __u32 state, __u64 word, __u32 size);
__u32 guard_step_full(const struct tables *tables, __u32 state, __u64 word);
int guard_step_all(const struct tables *tables, struct states *states, __u64 name, __u32 size);
__u32 guard_step_long(const struct tables *tables, __u32 state, __u64 name, __u32 size);

/*
 * 0, but not to the verifier: it is a member that the tables never set. What
 * may be 0 or come from the tables starts out as this, so that both look alike
 * to the verifier and it need not follow every combination.
 */
static __always_inline __u32 opaque_zero(const struct tables *tables)
{
	return tables->root.zero;
}

/*
 * ``value``, as a number that the verifier learns nothing about by comparing
 * it: what it learned of a count it would follow up separately ever after.
 * ``zero`` is 0, which the verifier must not know.
 */
static __always_inline __u32 unrefined(__u32 value, __u32 zero)
{
	asm volatile("%0 ^= %1" : "+r"(value) : "r"(zero));
	return value;
}

static __always_inline __u64 unrefined64(__u64 value, __u64 zero)
{
	asm volatile("%0 ^= %1" : "+r"(value) : "r"(zero));
	return value;
}

/* Keeps the compiler from moving the mask, which bounds the access, before an addition. */
static __always_inline __u32 masked(__u32 offset)
{
	asm volatile("" : "+r"(offset));
	return offset & (GUARD_DATA_MASK & ~3u);
}

/*
 * ``tables`` + ``offset``, added in the offset's register. Clang would add in a
 * copy of the pointer: one instruction more, twice for every byte of a path.
 */
static __always_inline const void *at_offset(const struct tables *tables, __u64 offset)
{
	asm volatile("%0 += %1" : "+r"(offset) : "r"(tables));
	return (const void *)offset;
}

/* The next state in ``column``, which is in bytes as root.column has it. */
static __always_inline __u32 step(const struct tables *tables, __u32 state, __u32 column)
{
	return *(const __u32 *)(at_offset(tables, masked(state + column)) +
				offsetof(struct tables, data));
}

/*
 * One of the first cells of a state's row; ``column`` is in bytes and constant.
 * Added after the mask, in the load: the slack behind the data is there for it.
 */
static __always_inline __u32 cell(const struct tables *tables, __u32 state, const __u32 column)
{
	return *(const __u32 *)(at_offset(tables, masked(state)) + offsetof(struct tables, data) +
				column);
}

static __always_inline __u32 step_slash(const struct tables *tables, __u32 state)
{
	return cell(tables, state, GUARD_COLUMN_SLASH * sizeof(__u32));
}

#endif
