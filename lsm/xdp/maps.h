/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ingress filter's maps and constants, and how a generation's tables are read. */
#ifndef GUARD_INGRESS_MAPS_H
#define GUARD_INGRESS_MAPS_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "wire.h"

typedef _Bool bool;
#define true 1
#define false 0

/* What lies behind the mask: a row, or any struct, may begin at the last masked byte. */
#define TABLE_SLACK 8192

/* Alone in its section, so that the loader writes a map's whole value. */
const volatile struct ingress_constants constants SEC(".rodata.constants") = {
	.table_mask = (1u << 20) - 1,
	.flow_timeout = 120,
	.fragment_timeout = 30,
};

struct generation_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, (1u << 20) + TABLE_SLACK); /* set anew by the loader */
};

/*
 * Slot 0 holds the generation in force; writing it is the switch. While that is
 * on trial, slot 1 holds the one before it, if there was one.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct generation_map);
} ingress_current SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, INGRESS_LIMIT_SLOTS); /* the loader may make it fewer */
	__type(key, __u32);
	__type(value, struct ingress_count);
} ingress_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} ingress_events SEC(".maps");

/* Buckets of limit rules as a whole, by slot: they outlive a generation. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, INGRESS_LIMIT_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} ingress_rates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, INGRESS_LIMIT_SOURCE_BUCKETS);
	__type(key, __u32);
	__type(value, struct ingress_source_bucket);
} ingress_sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, INGRESS_LIMIT_FLOW_BUCKETS);
	__type(key, __u32);
	__type(value, struct ingress_flow_bucket);
} ingress_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, INGRESS_LIMIT_FLOW_BUCKETS);
	__type(key, __u32);
	__type(value, struct ingress_ends_bucket);
} ingress_ends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ingress_control);
} ingress_control SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, INGRESS_LIMIT_TOP);
	__type(key, struct ingress_top_key);
	__type(value, struct ingress_top_count);
} ingress_top SEC(".maps");

/* TTL entries: written in place by user space, shared by all generations. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, INGRESS_LIMIT_TIMED_BUCKETS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ingress_timed_bucket);
} ingress_timed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ingress_probes);
} ingress_probes SEC(".maps");

/* Where redirect rules send: user space fills what the rules name. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, INGRESS_LIMIT_TARGETS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} ingress_devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, INGRESS_LIMIT_TARGETS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} ingress_cpus SEC(".maps");

/* Where mirror rules send: interface indexes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, INGRESS_LIMIT_TARGETS);
	__type(key, __u32);
	__type(value, __u32);
} ingress_mirrors SEC(".maps");

/* The rest of guard's own program, and the slot for the next one's. */
enum part {
	PART_REPLY = 0,
	PART_SYN_COOKIE = 1,
	PART_NEXT = 2,
	PART_COUNT = 3,
};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, PART_COUNT);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} ingress_parts SEC(".maps");

/* The tables of the generation in force: a program asks once per packet. */
static __always_inline const __u8 *tables_in(__u32 slot)
{
	__u32 zero = 0;
	void *generation = bpf_map_lookup_elem(&ingress_current, &slot);

	return generation ? bpf_map_lookup_elem(generation, &zero) : (void *)0;
}

static __always_inline const __u8 *current_tables(void)
{
	return tables_in(0);
}

/* What is at a byte offset of the tables: any offset is safe, a masked one is another's. */
#define AT(type, tables, offset) ((const type *)((tables) + ((__u32)(offset)&constants.table_mask)))

/*
 * A function that the verifier follows once and by itself, not once for each state
 * of each caller: it knows its arguments by type only, so pointers may be NULL.
 */
#define GLOBAL __attribute__((noinline))

/* Keeps clang from knowing a value, so that it neither moves nor merges its uses. */
#define OPAQUE(value) asm volatile("" : "+r"(value))

/* The number of the lowest set bit of a word that is not 0. */
static __always_inline __u32 lowest_bit(__u64 word)
{
	/* A de Bruijn sequence: every 6-bit window of it is different. */
	static const __u8 number[64] = {
		0,  1,	2,  53, 3,  7,	54, 27, 4,  38, 41, 8,	34, 55, 48, 28,
		62, 5,	39, 46, 44, 42, 22, 9,	24, 35, 59, 56, 49, 18, 29, 11,
		63, 52, 6,  26, 37, 40, 33, 47, 61, 45, 43, 21, 23, 58, 17, 10,
		51, 25, 36, 32, 60, 20, 57, 16, 50, 31, 19, 15, 30, 14, 13, 12,
	};

	return number[((word & -word) * 0x022fdd63cc95386dull) >> 58];
}

/* One step of a keyed 64-bit hash (the finaliser of MurmurHash3, with the key between). */
static __always_inline __u64 mix(__u64 hash, __u64 value)
{
	hash = (hash ^ value) * 0xff51afd7ed558ccdull;
	hash = (hash ^ hash >> 33 ^ constants.seed[1]) * 0xc4ceb9fe1a85ec53ull;
	return hash ^ hash >> 29;
}

#endif
