/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From an address to its class: a cell of a root table, then halving without branches. */
#ifndef GUARD_INGRESS_INTERVALS_H
#define GUARD_INGRESS_INTERVALS_H

#include "maps.h"

/*
 * 1 if a <= b, as a number and not as a branch: the verifier would follow both
 * ways of each comparison. Both are below 2^63.
 */
static __always_inline __u64 at_most(__u64 a, __u64 b)
{
	__u64 difference = b - a;

	OPAQUE(difference);
	return difference >> 63 ^ 1;
}

/* The same for any two. */
static __always_inline __u64 at_most_full(__u64 a, __u64 b)
{
	/* The borrow of b - a. */
	__u64 borrow = (~b & a) | ((~b | a) & (b - a));

	OPAQUE(borrow);
	return borrow >> 63 ^ 1;
}

static __always_inline __u32 class_of(const __u8 *tables, const struct ingress_intervals *list,
				      __u32 interval)
{
	if (!list->width)
		return interval & 1;
	if (list->width == 1)
		return *AT(__u8, tables, list->classes + interval);
	if (list->width == 4)
		return *AT(__u32, tables, list->classes + interval * 4);
	return *AT(__u16, tables, list->classes + interval * 2);
}

static __always_inline __u32 class4(const __u8 *tables, const struct ingress_intervals *list,
				    __u32 address)
{
	const __u32 *cell = AT(__u32, tables, list->root + (address >> 16) * 4);
	__u32 at = cell[0], left = cell[1] - cell[0], keys = list->keys;
	__u64 key = address & 0xffff;

	const __u16 *few;

	/* Halving to four: 14 rounds for the 65 536 keys that a cell has at most. */
	for (int i = 0; i < 15; i++) {
		__u32 half = (left + 1) >> 1;

		if (left <= 4)
			break;
		at += half * at_most(*AT(__u16, tables, keys + (at + half - 1) * 2), key);
		left -= half;
	}
	/* The rest all at once: no load waits for another, and no branch is guessed. */
	few = AT(__u16, tables, keys + at * 2);
	at += (at_most(few[0], key) & at_most(1, left)) +
	      (at_most(few[1], key) & at_most(2, left)) +
	      (at_most(few[2], key) & at_most(3, left)) + (at_most(few[3], key) & at_most(4, left));
	return class_of(tables, list, at);
}

/* A /64 of its own: the same over the low half. */
static __noinline __u32 class6_fine(const __u8 *tables, const struct ingress_intervals *list,
				    __u32 index, __u64 low)
{
	const struct ingress_fine *fine =
		AT(struct ingress_fine, tables, list->fine + index * sizeof(*fine));
	__u32 at = 0, left = fine->count, keys = list->fine_keys + fine->first * 8;

	for (int i = 0; i < 22; i++) {
		__u32 half = (left + 1) >> 1;

		if (!left)
			break;
		at += half * at_most_full(*AT(__u64, tables, keys + (at + half - 1) * 8), low);
		left -= half;
	}
	/* One class more than keys in each: index of them went before. */
	return *AT(__u16, tables, list->fine_classes + (fine->first + index + at) * 2);
}

static __noinline __u32 class6(const __u8 *tables, const struct ingress_intervals *list, __u64 high,
			       __u64 low)
{
	__u64 number = high < list->base ? 0 : (high - list->base) >> (list->shift & 63);
	const __u32 *cell;
	__u32 at, left, keys = list->keys, class;

	if (number >= list->cells)
		number = list->cells - 1;
	cell = AT(__u32, tables, list->root + (__u32)number * 4);
	at = cell[0];
	left = cell[1] - cell[0];
	for (int i = 0; i < 22; i++) {
		__u32 half = (left + 1) >> 1;

		if (!left)
			break;
		at += half * at_most_full(*AT(__u64, tables, keys + (at + half - 1) * 8), high);
		left -= half;
	}
	class = class_of(tables, list, at);
	if (class & INGRESS_CLASS_FINE)
		return class6_fine(tables, list, class & (INGRESS_CLASS_FINE - 1), low);
	return class;
}

#endif
