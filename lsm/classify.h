/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From an object to its class in every automaton that a task's policies need,
 * consistent in the face of renames.
 */
#ifndef GUARD_CLASSIFY_H
#define GUARD_CLASSIFY_H

#include "path.h"

/*
 * The dcache's seqlock, held for writing by every rename (d_move, fs/dcache.c).
 * Not in BTF, so its address comes from kallsyms; the sequence is its first
 * member.
 */
extern const void rename_lock __ksym;
extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __ksym __weak;

/*
 * Attempts at a walk without a rename in between. Must be large: a virtual CPU
 * preempted inside d_move holds the lock for milliseconds, and 64 attempts
 * were measured to give false denials there.
 */
#define RENAME_ATTEMPTS 200000

/* The subject automaton is asked for by this group number. */
#define GROUP_SUBJECT GUARD_LIMIT_GROUPS

struct object {
	const struct tables *tables;
	const struct guard_device *device;
	struct dentry *dentry;
	__u64 mask;	/* policies that ask; groups without any are not stepped */
	__u32 reason;	/* GUARD_REASON_POLICY when classified */
	__u32 subject;	/* nonzero: step the subject automaton, into row[0] */
	__u32 row[GUARD_LIMIT_GROUPS];	  /* offset of the class's row + 1; 0: not stepped */
	__u32 class_id[GUARD_LIMIT_GROUPS];
};

static __always_inline __u32 rename_sequence(void)
{
	__u32 sequence = 1;

	if (guard_has_rdonly_cast) {
		struct seqcount *lock = bpf_rdonly_cast(
			&rename_lock, bpf_core_type_id_kernel(struct seqcount));

		return *(volatile unsigned int *)&lock->sequence;
	}
	bpf_probe_read_kernel(&sequence, sizeof(sequence), &rename_lock);
	return sequence;
}

static __always_inline const struct guard_device *find_device(const struct tables *tables,
							      __u32 device)
{
	__u32 slot = device * tables->root.device_multiplier >> 16;

#pragma unroll
	for (int i = 0; i < GUARD_LIMIT_DEVICE_PROBES; i++) {
		const struct guard_device *found =
			&tables->root.device[(slot + i) & (GUARD_LIMIT_DEVICE_SLOTS - 1)];

		if (found->device == device)
			return found;
	}
	return &tables->root.foreign;
}

static __always_inline void walk(struct object *object, __u32 start, int into)
{
	__u32 state = start;

	if (!(state & GUARD_STATE_FINAL)) {
		state = walk_short(object->tables, object->dentry, start);
		if (state == WALK_TOO_DEEP)
			state = walk_deep(object->tables, object->dentry, start);
		if (state == WALK_TOO_DEEP) {
			object->reason = GUARD_REASON_TOO_DEEP;
			return;
		}
	}
	object->row[into] = cell(object->tables, state, GUARD_COLUMN_ROW * sizeof(__u32)) + 1;
	object->class_id[into] = cell(object->tables, state, GUARD_COLUMN_CLASS * sizeof(__u32));
}

/* One pass over all automata that are needed, valid if no rename fell into it. */
static __noinline int classify_once(struct object *object)
{
	const struct guard_device *device = object->device;

	object->reason = GUARD_REASON_POLICY;
	if (object->subject) {
		walk(object, device->subject, 0);
		return 0;
	}
	for (int group = 0; group < GUARD_LIMIT_GROUPS; group++) {
		object->row[group] = 0;
		if (object->mask & object->tables->root.group_mask[group])
			walk(object, device->start[group], group);
	}
	return 0;
}

static long classify_again(__u32 index, struct object *object)
{
	__u32 before = rename_sequence();

	if (before & 1)
		return 0;
	classify_once(object);
	if (rename_sequence() != before)
		return 0;
	return 1;
}

/*
 * Classifies object->dentry. Afterwards reason is GUARD_REASON_POLICY and the
 * rows are filled in, or reason says why the object could not be classified.
 */
static __noinline int classify(struct object *object)
{
	__u32 before = rename_sequence();
	long attempts;

	if (!(before & 1)) {
		classify_once(object);
		if (rename_sequence() == before)
			return 0;
	}
	attempts = bpf_loop(RENAME_ATTEMPTS, classify_again, object, 0);
	if (attempts < 0 || attempts >= RENAME_ATTEMPTS)
		object->reason = GUARD_REASON_RENAME_RACE;
	return 0;
}

/* The masks of ``verb`` in one of the object's rows. */
static __always_inline const struct guard_verb_row *verb_row(const struct object *object,
							     int group, __u32 verb)
{
	__u32 offset = object->row[group] - 1 + verb * sizeof(struct guard_verb_row);

	asm volatile("" : "+r"(offset));
	return (const void *)(object->tables->data + (offset & (GUARD_DATA_MASK & ~7u)));
}

#endif
