/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stepping the automaton over bytes, and reading rows. */
#ifndef GUARD_AUTOMATON_H
#define GUARD_AUTOMATON_H

#include "maps.h"

struct block {
	__u8 bytes[64];
};

/* Defined once in automaton.bpf.c; global, so that each is verified once. */
__u32 guard_step_words(const struct tables *tables, __u32 state, __u64 low, __u64 high,
		       __u32 size);
__u32 guard_step_block(const struct tables *tables, __u32 state,
		       const struct block *block, __u32 size);

/* Keeps the compiler from moving the mask, which bounds the access, before an addition. */
static __always_inline __u32 masked(__u32 offset)
{
	asm volatile("" : "+r"(offset));
	return offset & (GUARD_DATA_MASK & ~3u);
}

/* One cell of a state's row; ``column`` is in bytes. */
static __always_inline __u32 cell(const struct tables *tables, __u32 state, __u32 column)
{
	return *(const __u32 *)(tables->data + masked(state + column));
}

static __always_inline __u32 step_slash(const struct tables *tables, __u32 state)
{
	return cell(tables, state, GUARD_COLUMN_SLASH * sizeof(__u32));
}

static __always_inline __u32 step_byte(const struct tables *tables, __u32 state, __u8 byte)
{
	return cell(tables, state, tables->root.column[byte]);
}

#endif
