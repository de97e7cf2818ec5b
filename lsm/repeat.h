/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Events like one that was sent are counted, and sent together once a second; and
 * how many of a policy's may be sent at all.
 *
 * The first event of its kind goes to the ring at once and leaves a copy in a
 * slot; the next ones add to the slot's count. guard_flush, which user space runs
 * once a second, sends the copy again with the count and frees the slots that
 * nobody added to. A slot's state and count are one word, changed only by
 * compare-and-swap, and slots stay where they are: what is counted is counted for
 * the kind that was meant, or it is sent. What finds no slot is sent.
 *
 * Not a hash map: its elements are used again the moment they are deleted, so that
 * whoever is preempted between finding one and adding to it would count for another.
 */
#ifndef GUARD_REPEAT_H
#define GUARD_REPEAT_H

#include "path.h"

/* SipHash's state (Aumasson and Bernstein, 2012), keyed: nobody can make two kinds alike. */
struct mix {
	__u64 v0, v1, v2, v3;
};

/* Defined once in repeat.bpf.c; global, so that each is verified once a program. */
__u32 guard_mix(struct mix *mix, __u64 a, __u64 b, __u64 c, __u64 d);
__u32 guard_mix_name(struct mix *mix, __u64 dentry);
__u32 guard_mix_bytes(struct mix *mix, __u64 address, __u32 size);
__u32 guard_place(struct mix *mix, __u64 policies, __u32 refused, __u32 reason);
__u32 guard_keep(__u32 place, __u64 event);
__u32 guard_keep_names(__u32 place, __u64 dentry, __u64 second, __u64 exe);
__u32 guard_keep_rest(__u32 place, __u64 event);

/* What guard_place returns where an event is not to be sent; else its slot + 1, or 0: none. */
#define NOT_SENT 0xffffffffu

extern volatile struct guard_merging guard_merging;

static __always_inline void begin_mix(struct mix *mix)
{
	mix->v0 = guard_merging.secret[0] ^ 0x736f6d6570736575ull;
	mix->v1 = guard_merging.secret[1] ^ 0x646f72616e646f6dull;
	mix->v2 = guard_merging.secret[0] ^ 0x6c7967656e657261ull;
	mix->v3 = guard_merging.secret[1] ^ 0x7465646279746573ull;
}

#endif
