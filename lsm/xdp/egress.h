/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two programs beside XDP, for tcx or clsact: what leaves is recorded so
 * that answers may come in; what a mirror rule marked is copied. Both only
 * watch: every packet goes on.
 */
#ifndef GUARD_INGRESS_EGRESS_H
#define GUARD_INGRESS_EGRESS_H

#include "flows.h"

/* The verdict that hands on to the next program in the chain, tcx's and clsact's alike. */
#define TC_NEXT -1

/* Sent to a group or to all: answers come from others than the destination. */
static __always_inline bool to_many(const struct flow *f, bool is_ip4)
{
	if (is_ip4)
		return f->remote_low >> 28 == 14 || f->remote_low == 0xffffffff;
	return f->remote_high >> 56 == 0xff;
}

/* Records one packet that leaves: the ends of `f` are set, `at` is the transport header. */
static __noinline int leaves(struct __sk_buff *skb, struct flow *f, __u32 at, bool is_ip4)
{
	__be16 header[4] = {};

	if (bpf_skb_load_bytes(skb, at, header, sizeof(header)))
		return 0;
	if (has_ports(f->kind)) {
		f->local_port = bpf_ntohs(header[0]);
		f->remote_port = bpf_ntohs(header[1]);
	} else if ((f->kind == PROTOCOL_ICMP && *(__u8 *)header == 8) ||
		   (f->kind == PROTOCOL_ICMP6 && *(__u8 *)header == 128)) {
		f->local_port = bpf_ntohs(header[2]);
		f->remote_port = 0;
	} else {
		return 0;
	}
	if (f->kind == PROTOCOL_UDP && to_many(f, is_ip4)) {
		f->kind |= FLOW_ASKED_ALL;
		f->local_high = f->local_low = f->remote_high = f->remote_low = 0;
	}
	return flow_record(f);
}

SEC("tc")
int guard_ingress_leaves(struct __sk_buff *skb)
{
	const struct ingress_root *root = (const void *)current_tables();
	struct flow f = {};
	__u8 next;

	/* skb->data begins with the MAC header on the way out; tags are beside it. */
	if (!root)
		return TC_NEXT;
	if (skb->protocol == bpf_htons(ETHERTYPE_IP4)) {
		struct ip4_header ip;

		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) ||
		    bpf_ntohs(ip.fragment) & 0x1fff)
			return TC_NEXT;
		f.local_low = bpf_ntohl(ip.source);
		f.remote_low = bpf_ntohl(ip.destination);
		f.kind = ip.protocol;
		if (f.kind == PROTOCOL_TCP && !(root->flags & INGRESS_FLAG_TCP_FLOWS))
			return TC_NEXT;
		leaves(skb, &f, ETH_HLEN + (ip.version_length & 15) * 4, true);
	} else if (skb->protocol == bpf_htons(ETHERTYPE_IP6)) {
		struct ip6_header ip;
		__u32 at = ETH_HLEN + sizeof(ip);

		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
			return TC_NEXT;
		f.local_high = bpf_be64_to_cpu(ip.source[0]);
		f.local_low = bpf_be64_to_cpu(ip.source[1]);
		f.remote_high = bpf_be64_to_cpu(ip.destination[0]);
		f.remote_low = bpf_be64_to_cpu(ip.destination[1]);
		next = ip.next;
		if (next == PROTOCOL_FRAGMENT) {
			struct ip6_fragment fragment;

			if (bpf_skb_load_bytes(skb, at, &fragment, sizeof(fragment)) ||
			    bpf_ntohs(fragment.offset) >> 3)
				return TC_NEXT;
			next = fragment.next;
			at += sizeof(fragment);
		}
		f.kind = next;
		if (f.kind == PROTOCOL_TCP && !(root->flags & INGRESS_FLAG_TCP_FLOWS))
			return TC_NEXT;
		leaves(skb, &f, at, false);
	}
	return TC_NEXT;
}

/* How a packet that is let in carries its mirror to the tc program. */
struct mark {
	__u32 magic;
	__u32 target; /* index, from 1 */
};

#define MARK_MAGIC 0x67756172

static __noinline int mark(struct xdp_md *ctx, __u32 target)
{
	struct mark *mark;
	void *data;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*mark)))
		return 0;
	mark = (void *)(long)ctx->data_meta;
	data = (void *)(long)ctx->data;
	if ((void *)(mark + 1) > data)
		return 0;
	mark->magic = MARK_MAGIC;
	mark->target = target;
	return 0;
}

SEC("tc")
int guard_ingress_mirror(struct __sk_buff *skb)
{
	struct mark *mark = (void *)(long)skb->data_meta;
	void *data = (void *)(long)skb->data;
	__u32 key, *target;

	if ((void *)(mark + 1) > data || mark->magic != MARK_MAGIC)
		return TC_NEXT;
	key = mark->target - 1;
	target = bpf_map_lookup_elem(&ingress_mirrors, &key);
	if (target && *target)
		bpf_clone_redirect(skb, *target, 0);
	return TC_NEXT;
}

#endif
