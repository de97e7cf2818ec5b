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

/*
 * And not for longer than this: somebody who renames all the time must not be
 * able to keep a deep path's opener in the kernel for seconds.
 */
#define RENAME_PATIENCE_NS 200000000ull

struct object {
	const struct tables *tables;
	const struct guard_device *device;
	struct dentry *dentry;
	__u64 deadline;		       /* CLOCK_MONOTONIC, when classification gives up */
	__u32 reason;		       /* GUARD_REASON_POLICY when classified */
	__u16 subject;		       /* nonzero: step the subject automaton, into state[0] */
	__u16 nameless;		       /* nonzero: the device's start states are the object's own */
	__u32 state[GUARD_LIMIT_GROUPS]; /* that the walk ended in, which is never 0; 0: not walked */
};

/* The lock as something that can be read without a helper, or NULL before 6.2. */
static __always_inline const struct seqcount *rename_seqcount(void)
{
	if (!guard_has_rdonly_cast)
		return (void *)0;
	return bpf_rdonly_cast(&rename_lock, bpf_core_type_id_kernel(struct seqcount));
}

static __always_inline __u32 rename_sequence(const struct seqcount *lock)
{
	__u32 sequence = 1;

	/* The compiler may move no load of the walk past this one; x86 does not either. */
	if (guard_has_rdonly_cast) {
		asm volatile("" ::: "memory");
		sequence = *(volatile const unsigned int *)&lock->sequence;
		asm volatile("" ::: "memory");
		return sequence;
	}
	bpf_probe_read_kernel(&sequence, sizeof(sequence), &rename_lock);
	return sequence;
}

/*
 * Where a device stands in the table: 0 is foreign, n + 1 is slot n. An index
 * and not a pointer, because every place a pointer can have come from would
 * double the verifier's work from there on.
 */
static __always_inline __u32 find_device(const struct tables *tables, __u32 device)
{
	__u32 slot = device * tables->root.device_multiplier >> 16;

#pragma unroll
	for (int i = 0; i < GUARD_LIMIT_DEVICE_PROBES; i++) {
		__u32 at = (slot + i) & (GUARD_LIMIT_DEVICE_SLOTS - 1);

		if (tables->devices.slot[at].device == device)
			return at + 1;
	}
	return 0;
}

/* The index of what no device holds: struct guard_devices' last member. */
#define DEVICE_ANONYMOUS (GUARD_LIMIT_DEVICE_SLOTS + 1)

/* The device at an index from find_device: the members of guard_devices are adjacent. */
static __always_inline const struct guard_device *device_at(const struct tables *tables,
							    __u32 index)
{
	index = unrefined(index, opaque_zero(tables));
	if (index > DEVICE_ANONYMOUS)
		index = 0;
	return &tables->devices.foreign + index;
}

/*
 * Begins an object. Everything that classification may write is set to an
 * opaque zero, so that to the verifier an early end looks like a late one.
 */
static __always_inline void begin_object(struct object *object, const struct tables *tables,
					 struct dentry *dentry, __u32 device)
{
	__u32 zero = opaque_zero(tables);

	object->tables = tables;
	object->dentry = dentry;
	object->device = device_at(tables, device);
	object->nameless = device == DEVICE_ANONYMOUS;
	object->reason = zero;
#pragma unroll
	for (int group = 0; group < GUARD_LIMIT_GROUPS; group++) {
		object->state[group] = zero;
	}
}

/* The class that a classified object has in one automaton. */
static __always_inline __u32 class_in(const struct object *object, int group)
{
	return cell(object->tables, object->state[group], GUARD_COLUMN_CLASS * sizeof(__u32));
}

/* Its row: offset + 1, for verb_row. */
static __always_inline __u32 row_in(const struct object *object, int group)
{
	return cell(object->tables, object->state[group], GUARD_COLUMN_ROW * sizeof(__u32)) + 1;
}

/* One pass over all automata, needed or not, valid if no rename fell into it. */
static __always_inline bool pass(struct object *object)
{
	const struct guard_device *device = object->device;
	struct states states;

	for (int group = 0; group < GUARD_LIMIT_GROUPS; group++)
		states.state[group] = object->subject ? device->subject : device->start[group];
	if (!object->nameless &&
	    !guard_walk_deep(object->tables, number_of(object->dentry), &states))
		return false;
	for (int group = 0; group < GUARD_LIMIT_GROUPS; group++)
		object->state[group] = states.state[group];
	return true;
}

/* bpf_loop's callback: one pass. Returns 1 when it counts. */
static long pass_again(__u32 index, struct object *object)
{
	const struct seqcount *lock = rename_seqcount();
	__u32 before = rename_sequence(lock);
	bool walked;

	if (bpf_ktime_get_ns() > object->deadline)
		return 1;
	if (before & 1)
		return 0;
	walked = pass(object);
	if (rename_sequence(lock) != before)
		return 0;
	object->reason = unrefined(walked ? GUARD_REASON_POLICY : GUARD_REASON_TOO_DEEP,
				   opaque_zero(object->tables));
	return 1;
}

/*
 * Whether a path is needed and the object has none. A file opened by its handle
 * (open_by_handle_at) whose name has left the cache is known by its inode alone:
 * its dentry has no parent (DCACHE_DISCONNECTED) until somebody looks the name
 * up. Directories are given their place before anybody gets them. No path is
 * needed where the automata would not look at it (name spaces' files, pipes).
 */
static __always_inline bool disconnected(const struct object *object)
{
	const struct guard_device *device = object->device;
	struct dentry *dentry = object->dentry;
	__u32 decided = object->subject ? device->subject : GUARD_STATE_FINAL;
	struct inode *inode;

	if (object->nameless)
		return false;
	/* A name that is about to be made has a parent, and no inode yet. */
	if (dentry->d_parent != dentry)
		return false;
	inode = dentry->d_inode;
	if (!inode || (inode->i_mode & S_IFMT) == S_IFDIR)
		return false;
	if (!object->subject)
		for (int group = 0; group < GUARD_LIMIT_GROUPS; group++)
			decided &= device->start[group];
	return !(decided & GUARD_STATE_FINAL);
}

/*
 * Classifies object->dentry, in full and from the start. Afterwards reason is
 * GUARD_REASON_POLICY and the states are filled in, or reason says why the object
 * could not be classified.
 */
static __always_inline void classify(struct object *object)
{
	__u32 zero = opaque_zero(object->tables);

	if (disconnected(object)) {
		object->reason = unrefined(GUARD_REASON_DISCONNECTED, zero);
		return;
	}
	object->reason = unrefined(GUARD_REASON_RENAME_RACE, zero);
	object->deadline = bpf_ktime_get_ns() + RENAME_PATIENCE_NS;
	bpf_loop(RENAME_ATTEMPTS, pass_again, object, 0);
}

/* The masks of ``verb`` in the row at ``row`` - 1, as row_in has it. */
static __always_inline const struct guard_verb_row *verb_row(const struct tables *tables, __u32 row,
							     __u32 verb)
{
	__u32 offset = row - 1 + verb * sizeof(struct guard_verb_row);

	asm volatile("" : "+r"(offset));
	return (const void *)(tables->data + (offset & (GUARD_DATA_MASK & ~7u)));
}

#endif
