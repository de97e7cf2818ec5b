// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Repeated events: see repeat.h. */
#include "report.h"

/* Kinds of event that are followed at once; of others each event is sent. */
#define SLOTS 1024
#define WAYS 4

/* A slot's word: the kind's tag << 32 | these bits | count. 0: free. */
#define TAKEN (1ull << 31) /* being filled by whoever took it */
#define READY (1ull << 30) /* filled, and to be counted in */
#define MOST (READY - 1)   /* the highest count; what comes after it is sent */
#define TAG(hash) ((hash) >> 32)

struct slot {
	__u64 word;
	__u64 hash;
	struct short_event event;
};

struct slots_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct slot);
};

/* A bucket for what is only recorded and, after all of those, one for what is refused. */
struct allowances {
	struct guard_allowance of[2 * GUARD_LIMIT_POLICIES];
};

struct slots_map guard_slots SEC(".maps");
volatile struct guard_merging guard_merging SEC(".data.merging") = {};
struct allowances guard_allowances SEC(".data.allowed") = {};

#define ROTATED(value, by) ((value) << (by) | (value) >> (64 - (by)))

static __always_inline void round_of(struct mix *mix)
{
	mix->v0 += mix->v1;
	mix->v1 = ROTATED(mix->v1, 13) ^ mix->v0;
	mix->v0 = ROTATED(mix->v0, 32);
	mix->v2 += mix->v3;
	mix->v3 = ROTATED(mix->v3, 16) ^ mix->v2;
	mix->v0 += mix->v3;
	mix->v3 = ROTATED(mix->v3, 21) ^ mix->v0;
	mix->v2 += mix->v1;
	mix->v1 = ROTATED(mix->v1, 17) ^ mix->v2;
	mix->v2 = ROTATED(mix->v2, 32);
}

static __always_inline void add_word(struct mix *mix, __u64 word)
{
	mix->v3 ^= word;
	round_of(mix);
	mix->v0 ^= word;
}

__noinline __u32 guard_mix(struct mix *mix, __u64 a, __u64 b, __u64 c, __u64 d)
{
	if (!mix)
		return 0;
	add_word(mix, a);
	add_word(mix, b);
	add_word(mix, c);
	add_word(mix, d);
	return 0;
}

struct bytes {
	struct mix *mix;
	__u64 address;
	__u32 left;
};

/* bpf_loop's callback: eight bytes. */
static long mix_word(__u32 index, struct bytes *bytes)
{
	__u32 size = bytes->left;
	__u64 word = 0;

	if (!size)
		return 1;
	if (size > sizeof(word))
		size = sizeof(word);
	bpf_probe_read_kernel(&word, size, (void *)bytes->address);
	add_word(bytes->mix, word);
	bytes->address += size;
	bytes->left -= size;
	return 0;
}

/*
 * Adds ``size`` bytes, and how many they are: what follows cannot be taken for them.
 * Inlined, because of the stack: this is the deepest that any gate gets.
 */
static __always_inline void add_bytes(struct mix *mix, __u64 address, __u32 size)
{
	struct bytes bytes = { .mix = mix, .address = address, .left = size };

	add_word(mix, size);
	bpf_loop((NAME_BYTES + 8) / 8, mix_word, &bytes, 0);
}

__noinline __u32 guard_mix_bytes(struct mix *mix, __u64 address, __u32 size)
{
	if (mix)
		add_bytes(mix, address, size);
	return 0;
}

static __always_inline __u64 inode_number(__u64 dentry)
{
	__u64 inode = 0, number = 0;

	bpf_probe_read_kernel(&inode, sizeof(inode),
			      (void *)dentry + bpf_core_field_offset(struct dentry, d_inode));
	if (inode)
		bpf_probe_read_kernel(&number, sizeof(number),
				      (void *)inode + bpf_core_field_offset(struct inode, i_ino));
	return number;
}

/* Adds which name of which file it is: the last name, in which directory, and the inode. */
__noinline __u32 guard_mix_name(struct mix *mix, __u64 dentry)
{
	if (!mix || !dentry)
		return 0;
	add_word(mix, inode_number(dentry));
	add_word(mix, inode_number(parent_of(dentry)));
	add_bytes(mix, name_of(dentry), name_length(dentry));
	return 0;
}

static __always_inline __u64 finish_mix(struct mix *mix)
{
	mix->v2 ^= 0xff;
	round_of(mix);
	round_of(mix);
	round_of(mix);
	return mix->v0 ^ mix->v1 ^ mix->v2 ^ mix->v3;
}

static __always_inline struct slot *slot_at(__u32 index)
{
	index &= SLOTS - 1;
	return bpf_map_lookup_elem(&guard_slots, &index);
}

/* Adds one to the slot of this kind; false: it is none. */
static __always_inline bool counted(struct slot *slot, __u64 hash)
{
	__u64 word = *(volatile __u64 *)&slot->word;

	if (word >> 32 != TAG(hash) || !(word & READY) || (word & MOST) == MOST)
		return false;
	if (slot->hash != hash)
		return false;
	/* Somebody else was quicker: then this one is sent, which is right too. */
	return __sync_val_compare_and_swap(&slot->word, word, word + 1) == word;
}

/* The number of the lowest policy: how many bits are below it. No branches: see opaque_zero. */
static __always_inline __u32 bit_of(__u64 policies)
{
	__u64 below = (policies & -policies) - 1;

	below -= below >> 1 & 0x5555555555555555ull;
	below = (below & 0x3333333333333333ull) + (below >> 2 & 0x3333333333333333ull);
	below = (below + (below >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return below * 0x0101010101010101ull >> 56;
}

/*
 * Whether the first of these policies may send one more event (a token bucket, as
 * the time at which it will be full again). What it may not is counted for it.
 */
static __always_inline bool allowed(__u64 policies, __u32 refused)
{
	__u64 due, from, now, interval = guard_merging.interval_ns;
	struct guard_allowance *allowance;
	__u32 at;

	if (!interval || !policies)
		return true;
	at = bit_of(policies) + refused * GUARD_LIMIT_POLICIES;
	asm volatile("" : "+r"(at));
	allowance = &guard_allowances.of[at & (2 * GUARD_LIMIT_POLICIES - 1)];
	now = bpf_ktime_get_ns();
	due = *(volatile __u64 *)&allowance->due_ns;
	from = due > now ? due : now;
	if (from - now > guard_merging.burst_ns) {
		__sync_fetch_and_add(&allowance->limited, 1);
		return false;
	}
	/* Whom somebody else was quicker than does not pay: limits need not be exact. */
	__sync_val_compare_and_swap(&allowance->due_ns, due, from + interval);
	return true;
}

/* Counts an event of this kind, or finds it a place; see NOT_SENT. */
__noinline __u32 guard_place(struct mix *mix, __u64 policies, __u32 refused, __u32 reason)
{
	bool merge = guard_merging.merge;
	struct slot *slot;
	__u64 hash;

	if (!mix || reason == GUARD_REASON_CANARY)
		return 0;
	hash = finish_mix(mix);
	if (merge) {
		for (__u32 way = 0; way < WAYS; way++) {
			slot = slot_at(hash + way);
			if (slot && counted(slot, hash))
				return NOT_SENT;
		}
	}
	if (!allowed(policies, refused))
		return NOT_SENT;
	if (merge) {
		for (__u32 way = 0; way < WAYS; way++) {
			slot = slot_at(hash + way);
			if (slot && !__sync_val_compare_and_swap(&slot->word, 0,
								 TAG(hash) << 32 | TAKEN)) {
				slot->hash = hash;
				return ((hash + way) & (SLOTS - 1)) + 1;
			}
		}
	}
	return 0;
}

/* From now on events of the slot's kind are counted in it. */
static __always_inline void open_slot(struct slot *slot)
{
	__u64 word = slot->word;

	__sync_val_compare_and_swap(&slot->word, word, (word & ~TAKEN) | READY);
}

/* Keeps a copy of a short event; ``event`` 0: gives the place back. */
__noinline __u32 guard_keep(__u32 place, __u64 event)
{
	struct slot *slot;

	if (!place)
		return 0;
	slot = slot_at(place - 1);
	if (!slot)
		return 0;
	if (!event || bpf_probe_read_kernel(&slot->event, sizeof(slot->event), (void *)event))
		__sync_lock_test_and_set(&slot->word, 0);
	else
		open_slot(slot);
	return 0;
}

#define CUT_FLAGS (GUARD_EVENT_PATH_CUT | GUARD_EVENT_SECOND_CUT | GUARD_EVENT_EXE_CUT)

/*
 * The names of a long event, cut to what a short one holds; guard_keep_rest is to
 * follow. Two functions, because of the stack.
 */
__noinline __u32 guard_keep_names(__u32 place, __u64 dentry, __u64 second, __u64 exe)
{
	struct guard_event *kept;
	__u32 at, before;
	struct slot *slot;

	if (!place)
		return 0;
	slot = slot_at(place - 1);
	if (!slot)
		return 0;
	kept = &slot->event.event;
	kept->flags = 0;
	kept->second_size = 0;
	kept->exe_size = 0;
	at = guard_write_short(&slot->event, 0, dentry, GUARD_EVENT_PATH_CUT);
	kept->path_size = at;
	if (second) {
		before = at;
		at = guard_write_short(&slot->event, at, second, GUARD_EVENT_SECOND_CUT);
		kept->second_size = at - before;
	}
	if (exe) {
		before = at;
		at = guard_write_short(&slot->event, at, exe, GUARD_EVENT_EXE_CUT);
		kept->exe_size = at - before;
	}
	return 0;
}

/* Adds the fixed part of a long event whose names are kept. */
__noinline __u32 guard_keep_rest(__u32 place, __u64 event)
{
	__u32 path_size, second_size, exe_size, cut;
	struct guard_event *kept;
	struct slot *slot;

	if (!place)
		return 0;
	slot = slot_at(place - 1);
	if (!slot)
		return 0;
	kept = &slot->event.event;
	path_size = kept->path_size;
	second_size = kept->second_size;
	exe_size = kept->exe_size;
	cut = kept->flags & CUT_FLAGS;
	if (bpf_probe_read_kernel(kept, sizeof(*kept), (void *)event)) {
		__sync_lock_test_and_set(&slot->word, 0);
		return 0;
	}
	kept->path_size = path_size;
	kept->second_size = second_size;
	kept->exe_size = exe_size;
	kept->flags = (kept->flags & ~CUT_FLAGS) | cut;
	open_slot(slot);
	return 0;
}

/* bpf_loop's callback: sends what one slot has counted. */
static long flush_slot(__u32 index, void *unused)
{
	struct slot *slot = slot_at(index);
	struct short_event *whole;
	__u32 which = RING_OTHER;
	void *ring;
	__u64 word;

	if (!slot)
		return 0;
	word = *(volatile __u64 *)&slot->word;
	if (!(word & READY))
		return 0;
	if (!(word & MOST)) {
		__sync_val_compare_and_swap(&slot->word, word, 0);
		return 0;
	}
	if (slot->event.event.error)
		which = RING_DENIED;
	ring = bpf_map_lookup_elem(&guard_rings, &which);
	if (!ring)
		return 0;
	whole = bpf_ringbuf_reserve(ring, sizeof(*whole), 0);
	/* No room: the count stays where it is until there is. */
	if (!whole)
		return 0;
	bpf_probe_read_kernel(whole, sizeof(*whole), &slot->event);
	whole->event.sequence = next_sequence();
	whole->event.cpu = bpf_get_smp_processor_id();
	whole->event.boot_ns = bpf_ktime_get_boot_ns();
	/* This record is for one of them, and these are the others. */
	whole->event.suppressed = (__sync_fetch_and_and(&slot->word, ~MOST) & MOST) - 1;
	bpf_ringbuf_submit(whole, 0);
	return 0;
}

/* Run by user space, once a second. */
SEC("syscall")
int guard_flush(void *context)
{
	bpf_loop(SLOTS, flush_slot, (void *)0, 0);
	return 0;
}
