// SPDX-License-Identifier: Apache-2.0
/*
 * What the ingress benchmark puts before each program under test: every run
 * takes the next of the prepared headers, so that no program sees one hot key.
 */
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define HEADERS 32768
#define HEADER 64

struct header {
	__u64 word[HEADER / 8];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HEADERS);
	__type(key, __u32);
	__type(value, struct header);
} headers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} under_test SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} device SEC(".maps");

__u32 number = 0;

/* Writes the next header over the frame's first bytes; false when it is too short. */
static __always_inline int next(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u32 key = number++ % HEADERS;
	struct header *from, *to = data;

	if ((void *)(to + 1) > data_end)
		return 0;
	from = bpf_map_lookup_elem(&headers, &key);
	if (!from)
		return 0;
	*to = *from;
	return 1;
}

SEC("xdp")
int bench_call(struct xdp_md *ctx)
{
	if (next(ctx))
		bpf_tail_call(ctx, &under_test, 0);
	return XDP_ABORTED;
}

/* For live frames: to the device. */
SEC("xdp")
int bench_send(struct xdp_md *ctx)
{
	if (!next(ctx))
		return XDP_ABORTED;
	return bpf_redirect_map(&device, 0, XDP_DROP);
}

SEC("xdp")
int bench_trivial_drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("xdp")
int bench_trivial_pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

struct lpm_key {
	__u32 length;
	__u32 address;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1 << 20);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lpm_key);
	__type(value, __u32);
} trie SEC(".maps");

/* The peer of one set: an LPM lookup of the source, and nothing else. */
SEC("xdp")
int bench_lpm(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct lpm_key key = { .length = 32 };

	if (data + 34 > data_end)
		return XDP_ABORTED;
	key.address = *(__u32 *)(data + 26);
	return bpf_map_lookup_elem(&trie, &key) ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
