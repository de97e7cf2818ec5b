// SPDX-License-Identifier: Apache-2.0
/*
 * An event source for the benchmarks of the audit stream: a tc program that
 * puts struct guard_event records into a ring as lsm/report.h does, number
 * first, then room. One run through BPF_PROG_TEST_RUN makes ``source.burst``.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include "../../lsm/wire.h"

#define TEMPLATES 4096
#define NAMES 128
/* What lsm/report.h reserves for a short event. */
#define RESERVED (sizeof(struct guard_event) + GUARD_LIMIT_PATHS_SHORT + 256)

struct template {
	struct guard_event event;
	char names[NAMES];
};

struct source {
	__u64 attempts;
	__u64 dropped;
	__u32 burst;
	__u32 templates;
	__u32 unique; /* every event has an inode and a name of its own */
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TEMPLATES);
	__type(key, __u32);
	__type(value, struct template);
} templates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct source);
} sources SEC(".maps");

static long one(__u32 index, void *context)
{
	struct source *source = *(struct source **)context;
	__u64 sequence = source->attempts++;
	__u32 key = sequence % (source->templates ?: 1);
	struct template *from = bpf_map_lookup_elem(&templates, &key);
	struct template *to;

	if (!from)
		return 1;
	to = bpf_ringbuf_reserve(&ring, RESERVED, 0);
	if (!to) {
		source->dropped++;
		return 0;
	}
	__builtin_memcpy(to, from, sizeof(*to));
	to->event.sequence = sequence;
	to->event.boot_ns = bpf_ktime_get_boot_ns();
	to->event.cpu = 0;
	if (source->unique) {
		to->event.inode = sequence;
#pragma unroll
		for (int digit = 0; digit < 8; digit++)
			to->names[digit] = 'a' + (sequence >> 4 * digit & 15);
	}
	bpf_ringbuf_submit(to, 0);
	return 0;
}

SEC("tc")
int events(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct source *source = bpf_map_lookup_elem(&sources, &zero);

	if (source)
		bpf_loop(source->burst, one, &source, 0);
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
