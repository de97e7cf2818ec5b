/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps that all gates share: types here, definitions in maps.bpf.c. */
#ifndef GUARD_MAPS_H
#define GUARD_MAPS_H

#include "kernel.h"
#include "wire.h"

/*
 * Size class of the tables: data is 2^GUARD_TABLE_BITS bytes. The build makes
 * one object per class, because a global BPF function takes a pointer only to
 * a type whose size its BTF states.
 */
#ifndef GUARD_TABLE_BITS
#define GUARD_TABLE_BITS 18
#endif
#define GUARD_DATA_MASK ((1u << GUARD_TABLE_BITS) - 1)

struct tables {
	/* Small and first: what lies within 32 KiB of a pointer needs no addition. */
	struct guard_root root;
	/* The slack lets any masked offset be read as a whole row. */
	__u8 data[(1u << GUARD_TABLE_BITS) + sizeof(struct guard_row)];
	struct guard_devices devices;
};

struct generation_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	/* By size: clang leaves a type that only an inner map names incomplete. */
	__uint(value_size, sizeof(struct tables));
};

/* Slot 0 holds the generation in force; writing it is the switch. */
struct current_map {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct generation_map);
};

struct labels_map {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct guard_task);
};

struct ring_map {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096); /* the loader puts larger ones into the slots */
};

/* What is refused must not be crowded out by what is only recorded. */
enum {
	RING_DENIED = 0,
	RING_OTHER = 1,
	RINGS = 2,
};

/* In slots, so that which ring an event goes to is data and not a second copy of code. */
struct rings_map {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, RINGS);
	__type(key, __u32);
	__array(values, struct ring_map);
};

struct counters_map {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct guard_counters);
};

extern struct current_map guard_current SEC(".maps");
extern struct labels_map guard_labels SEC(".maps");
extern struct rings_map guard_rings SEC(".maps");
extern struct counters_map guard_counters SEC(".maps");

/*
 * Nonzero while any generation that is or may become current has policies that
 * apply to tasks by something other than their label (host-wide ones, control
 * groups): lets the gates pass an unlabelled task after one lookup. Only a
 * hint; the policies themselves come from the generation's root.
 */
extern volatile __u64 guard_host;

/* This kernel has bpf_rdonly_cast (6.2 and later). Set before load. */
extern const volatile bool guard_has_rdonly_cast;

/*
 * These programs may have storage in sockets: LSM programs may, fmod_ret ones may not
 * (bpf_sk_storage_tracing_allowed, net/core/bpf_sk_storage.c). Set before load.
 */
extern const volatile bool guard_has_sk_storage;

/* This CPU's counters; never NULL for index 0, but the verifier asks. */
static __always_inline struct guard_counters *counters(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&guard_counters, &zero);
}

#define COUNT(member)                                                \
	do {                                                         \
		struct guard_counters *counters_ = counters();       \
		if (counters_)                                       \
			__sync_fetch_and_add(&counters_->member, 1); \
	} while (0)

/* The labels map's own id, by which label_by_hand knows it. Set before attaching. */
extern volatile __u32 guard_labels_id;

/*
 * The current task's label, or NULL; ``unknown`` is set when it cannot be told
 * whether there is one. Before 6.2 the helper returns NULL also when the task that it
 * preempted is inside the same helper (bpf_task_storage_trylock,
 * kernel/bpf/bpf_task_storage.c), and taking that for "no label" would let a
 * preempting task pass. A task without any storage cannot have a label; one
 * with storage is given an empty label, unless the helper is busy.
 */
static __always_inline struct guard_task *current_label(bool *unknown)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct guard_task *label = bpf_task_storage_get(&guard_labels, task, 0, 0);

	*unknown = false;
	if (!label && task->bpf_storage) {
		label = bpf_task_storage_get(&guard_labels, task, 0,
					     BPF_LOCAL_STORAGE_GET_F_CREATE);
		*unknown = !label;
	}
	return label;
}

/* No set of policies: one with every bit is not distinguished from it, and refused. */
#define POLICIES_UNKNOWN (~0ull)

/*
 * The current task's policies where the helper is busy, found in the storage's
 * cache without taking anything; POLICIES_UNKNOWN if they are not there. What
 * is read is freed by RCU, and LSM programs run inside an RCU section.
 */
static __noinline __u64 policies_by_hand(void)
{
	struct bpf_local_storage *storage = bpf_get_current_task_btf()->bpf_storage;

	if (guard_has_rdonly_cast)
		return POLICIES_UNKNOWN; /* 6.2 and later are never busy */
	for (int slot = 0; slot < STORAGE_CACHE_SLOTS; slot++) {
		struct bpf_local_storage_data *data = (void *)0;
		struct bpf_local_storage_map *map = (void *)0;
		struct guard_task label = {};
		__u32 id = 0;

		bpf_probe_read_kernel(&data, sizeof(data), &storage->cache[slot]);
		if (!data)
			continue;
		bpf_probe_read_kernel(&map, sizeof(map),
				      __builtin_preserve_access_index(&data->smap));
		bpf_probe_read_kernel(&id, sizeof(id),
				      __builtin_preserve_access_index(&map->map.id));
		if (id != guard_labels_id || !id)
			continue;
		if (bpf_probe_read_kernel(&label, sizeof(label),
					  __builtin_preserve_access_index(&data->data)))
			continue;
		return label.mask | label.pending;
	}
	return POLICIES_UNKNOWN;
}

/*
 * The generation in force. A program asks once per call and uses the answer
 * throughout, so that it never mixes two generations.
 */
static __always_inline const struct tables *current_tables(void)
{
	__u32 zero = 0;
	void *generation = bpf_map_lookup_elem(&guard_current, &zero);

	return generation ? bpf_map_lookup_elem(generation, &zero) : (void *)0;
}

#endif
