/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a dentry to a state: the automaton stepped over the object's path from
 * the root of its file system to the object.
 *
 * Parents are climbed into a ladder of pointers, each in its own stack slot,
 * and the names are stepped downwards from the root. No helper call is made
 * for names that are stored in the dentry, and no memory outside the stack is
 * written, so a preempted task cannot have its walk overwritten by another.
 *
 * The walk itself takes no lock. classify.h reads rename_lock around it.
 */
#ifndef GUARD_PATH_H
#define GUARD_PATH_H

#include "automaton.h"

/* States are offsets of rows, which are 4-byte aligned: no state has this bit. */
#define WALK_TOO_DEEP 2u

/* Every supported kernel stores names up to this length in the dentry itself
 * (DNAME_INLINE_LEN in include/linux/dcache.h is 32 or more on 64 bits). */
#define NAME_INLINE_MAX 31

/*
 * Where the dentry itself stores its name. Added in the offset's register, and
 * in each case by itself: else clang copies both the pointer and the offset.
 */
static __always_inline void *short_name(struct dentry *dentry)
{
	__u64 at;

	if (bpf_core_field_exists(((struct dentry___shortname *)0)->d_shortname)) {
		at = bpf_core_field_offset(((struct dentry___shortname *)0)->d_shortname);
		asm volatile("%0 += %1" : "+r"(at) : "r"(dentry));
	} else {
		at = bpf_core_field_offset(((struct dentry___iname *)0)->d_iname);
		asm volatile("%0 += %1" : "+r"(at) : "r"(dentry));
	}
	return (void *)at;
}

/* Eight bytes of the name in the dentry; ``word`` is a constant from 0 to 3. */
static __always_inline __u64 name_word(struct dentry *dentry, const int word)
{
	return *(__u64 *)(short_name(dentry) + 8 * word);
}

/* Steps over '/' and one component's name. */
static __always_inline __u32 step_name(const struct tables *tables, __u32 state,
				       struct dentry *dentry)
{
	__u32 size = dentry->d_name.len;
	const unsigned char *name;

	state = step_slash(tables, state);
	if (size <= 8)
		return guard_step_word(tables, state, name_word(dentry, 0), size);
	if (size <= NAME_INLINE_MAX) {
		state = guard_step_full(tables, state, name_word(dentry, 0));
		if (size <= 16)
			return guard_step_word(tables, state, name_word(dentry, 1), size - 8);
		state = guard_step_full(tables, state, name_word(dentry, 1));
		if (size <= 24)
			return guard_step_word(tables, state, name_word(dentry, 2), size - 16);
		state = guard_step_full(tables, state, name_word(dentry, 2));
		return guard_step_word(tables, state, name_word(dentry, 3), size - 24);
	}
	/* Here, not above: elsewhere it would be an instruction or two for nothing. */
	name = (void *)0;
	/* By helper: 7.x types the loaded pointer, which a scalar argument refuses. */
	bpf_probe_read_kernel(&name, sizeof(name), &dentry->d_name.name);
	return guard_step_long(tables, state, (__u64)name, size);
}

/*
 * The ladder. UP(n, m): dm is dn's parent; if dn is its own parent it is the
 * root, and names are stepped from the rung below it. DOWN(n) steps over dn's
 * name; a final state ends the walk.
 */
#define UP(n, m)               \
	d##m = d##n->d_parent; \
	if (d##m == d##n)      \
		goto root_is_##n;

#define DOWN(above, n)                                            \
	root_is_##above : state = step_name(tables, state, d##n); \
	if (state & GUARD_STATE_FINAL)                            \
		return state;

/*
 * Steps from ``state`` over the path of ``leaf``, up to 24 components. Returns
 * the state reached, or WALK_TOO_DEEP.
 */
static __noinline __u32 walk_short(const struct tables *tables, struct dentry *leaf, __u32 state)
{
	struct dentry *d0 = leaf, *d1, *d2, *d3, *d4, *d5, *d6, *d7, *d8, *d9, *d10, *d11, *d12,
		      *d13, *d14, *d15, *d16, *d17, *d18, *d19, *d20, *d21, *d22, *d23, *d24, *d25;

	UP(0, 1)
	UP(1, 2) UP(2, 3) UP(3, 4) UP(4, 5) UP(5, 6) UP(6, 7) UP(7, 8) UP(8, 9) UP(9, 10) UP(10, 11)
		UP(11, 12) UP(12, 13) UP(13, 14) UP(14, 15) UP(15, 16) UP(16, 17) UP(17, 18)
			UP(18, 19) UP(19, 20) UP(20, 21) UP(21, 22) UP(22, 23) UP(23, 24)
				UP(24, 25) return WALK_TOO_DEEP;
	DOWN(24, 23)
	DOWN(23, 22) DOWN(22, 21) DOWN(21, 20) DOWN(20, 19) DOWN(19, 18) DOWN(18, 17) DOWN(17, 16)
		DOWN(16, 15) DOWN(15, 14) DOWN(14, 13) DOWN(13, 12) DOWN(12, 11) DOWN(11, 10)
			DOWN(10, 9) DOWN(9, 8) DOWN(8, 7) DOWN(7, 6) DOWN(6, 5) DOWN(5, 4)
				DOWN(4, 3) DOWN(3, 2) DOWN(2, 1) root_is_1
	    : return step_name(tables, state, d0);
root_is_0:
	/* Without a parent and not the root: see disconnected in classify.h. */
	return d0 == d0->d_sb->s_root ? state : WALK_TOO_DEEP;
}

/*
 * The same for up to GUARD_LIMIT_DEPTH components and all automata together; 0 if
 * the path is longer. Defined in path.bpf.c; global, so that it is verified once
 * a program, and by number, because a global function takes no pointer to a dentry.
 */
int guard_walk_deep(const struct tables *tables, __u64 leaf, struct states *states);

/* The number of a dentry's parent; its own at the root, or if it cannot be read. */
static __always_inline __u64 parent_of(__u64 dentry)
{
	__u64 parent = dentry;

	bpf_probe_read_kernel(&parent, sizeof(parent),
			      (void *)dentry + bpf_core_field_offset(struct dentry, d_parent));
	return parent;
}

static __always_inline __u64 name_of(__u64 dentry)
{
	__u64 name = 0;

	bpf_probe_read_kernel(&name, sizeof(name),
			      (void *)dentry + bpf_core_field_offset(struct dentry, d_name) +
				      bpf_core_field_offset(struct qstr, name));
	return name;
}

static __always_inline __u32 name_length(__u64 dentry)
{
	__u32 size = 0;

	bpf_probe_read_kernel(&size, sizeof(size),
			      (void *)dentry + bpf_core_field_offset(struct dentry, d_name) +
				      bpf_core_field_offset(struct qstr, len));
	return size;
}

#endif
