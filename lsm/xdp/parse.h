/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a frame to the fields that rules speak of, or the reason why not. */
#ifndef GUARD_INGRESS_PARSE_H
#define GUARD_INGRESS_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>

#include "maps.h"

enum readable {
	READABLE_ADDRESSES = 1,
	READABLE_PROTOCOL = 2,
	READABLE_PORTS = 4, /* or the ICMP type; of a protocol that has neither, nothing */
};

/* Addresses, ports and lengths are in host order; IPv4 is in the low half. */
struct packet {
	__u64 source_high;
	__u64 source_low;
	__u64 destination_high;
	__u64 destination_low;
	__u32 frame;	 /* bytes of the frame, as far as it is linear */
	__u32 network;	 /* offset of the IP header */
	__u32 transport; /* of what follows the last header walked */
	__u32 end;	 /* of the IP packet, as its header says */
	__u32 length;	 /* bytes of the IP packet */
	__u32 fragment_id;
	__u16 ethertype;
	__u16 source_port;
	__u16 destination_port; /* ICMP: the type */
	__u16 vlan;
	__u8 family;
	__u8 protocol;
	__u8 fragment;
	__u8 tcp_flags;
	__u8 readable;
	__u8 reason;  /* why the rest could not be read; 0: all was */
	__u8 hops;    /* TTL or hop limit */
	__u8 tracked; /* a later fragment whose first was let in */
};

static __always_inline void clear(struct packet *p)
{
	p->length = 0;
	p->network = 0;
	p->source_port = p->destination_port = p->ethertype = p->vlan = 0;
	p->family = p->protocol = p->fragment = p->tcp_flags = 0;
	p->readable = p->reason = p->hops = p->tracked = 0;
	p->source_high = p->source_low = p->destination_high = p->destination_low = 0;
}

/* Layouts of RFC 791, 8200, 9293; fields of more than a byte are network order. */
struct ip4_header {
	__u8 version_length;
	__u8 service;
	__be16 length;
	__be16 id;
	__be16 fragment;
	__u8 ttl;
	__u8 protocol;
	__be16 checksum;
	__be32 source;
	__be32 destination;
};

struct ip6_header {
	__u8 version_class;
	__u8 flow[3];
	__be16 length;
	__u8 next;
	__u8 hops;
	__be64 source[2];
	__be64 destination[2];
} __attribute__((packed, aligned(2)));

struct ip6_fragment {
	__u8 next;
	__u8 reserved;
	__be16 offset;
	__be32 id;
};

struct tcp_header {
	__be16 source;
	__be16 destination;
	__be32 sequence;
	__be32 acknowledgement;
	__u8 length;
	__u8 flags;
	__be16 window;
	__be16 checksum;
	__be16 urgent;
};

#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_RST 4
#define TCP_ACK 16

#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8
#define ETHERTYPE_QINQ_OLD 0x9100
#define ETHERTYPE_IP4 0x0800
#define ETHERTYPE_IP6 0x86dd

#define PROTOCOL_HOPOPTS 0
#define PROTOCOL_ICMP 1
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_DCCP 33
#define PROTOCOL_ROUTING 43
#define PROTOCOL_FRAGMENT 44
#define PROTOCOL_ICMP6 58
#define PROTOCOL_DSTOPTS 60
#define PROTOCOL_SCTP 132
#define PROTOCOL_MOBILITY 135
#define PROTOCOL_UDPLITE 136
#define PROTOCOL_HIP 139
#define PROTOCOL_SHIM6 140

/* No verdict depends on bytes farther in than this; it bounds the verifier's offsets. */
#define FARTHEST 0x3fff

/* `size` bytes at `offset` of the frame, or NULL when it is shorter. */
#define BYTES(data, data_end, offset, size)                                           \
	({                                                                            \
		__u8 *bytes_ = (__u8 *)(data) + ((offset)&FARTHEST);                  \
		(void *)(bytes_ + (size) <= (__u8 *)(data_end) ? bytes_ : (void *)0); \
	})

static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == PROTOCOL_SCTP ||
	       protocol == PROTOCOL_DCCP || protocol == PROTOCOL_UDPLITE;
}

static __always_inline bool is_extension(__u8 protocol)
{
	return protocol == PROTOCOL_HOPOPTS || protocol == PROTOCOL_ROUTING ||
	       protocol == PROTOCOL_FRAGMENT || protocol == PROTOCOL_DSTOPTS ||
	       protocol == PROTOCOL_MOBILITY || protocol == PROTOCOL_HIP ||
	       protocol == PROTOCOL_SHIM6;
}

/* Why a transport header that does not fit was cut: a fragment that is too small, or less. */
static __always_inline int cut(struct packet *p)
{
	return p->fragment == INGRESS_FRAGMENT_FIRST ? INGRESS_REASON_TINY_FRAGMENT
						     : INGRESS_REASON_TRUNCATED;
}

/* Ports, flags or type of the protocol that was reached. Returns a reason or 0. */
static __always_inline int parse_transport(void *data, void *data_end, struct packet *p)
{
	if (p->protocol == PROTOCOL_TCP) {
		struct tcp_header *tcp = BYTES(data, data_end, p->transport, sizeof(*tcp));
		__u32 size;

		if (!tcp || p->transport + sizeof(*tcp) > p->end)
			return cut(p);
		size = (tcp->length >> 4) * 4;
		if (size < sizeof(*tcp))
			return INGRESS_REASON_MALFORMED;
		if (p->transport + size > p->end)
			return cut(p);
		p->source_port = bpf_ntohs(tcp->source);
		p->destination_port = bpf_ntohs(tcp->destination);
		p->tcp_flags = tcp->flags;
	} else if (has_ports(p->protocol)) {
		__be16 *ports = BYTES(data, data_end, p->transport, 8);

		if (!ports || p->transport + 8 > p->end)
			return cut(p);
		p->source_port = bpf_ntohs(ports[0]);
		p->destination_port = bpf_ntohs(ports[1]);
	} else if (p->protocol == PROTOCOL_ICMP || p->protocol == PROTOCOL_ICMP6) {
		__u8 *type = BYTES(data, data_end, p->transport, 8);

		if (!type || p->transport + 8 > p->end)
			return cut(p);
		p->destination_port = type[0];
	}
	p->readable |= READABLE_PORTS;
	return 0;
}

static __always_inline int parse_ip4(struct xdp_md *ctx, struct packet *p)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ip4_header *ip;
	__u32 header, offset;

	ip = BYTES(data, data_end, p->network, sizeof(*ip));
	if (!ip)
		return INGRESS_REASON_TRUNCATED;
	header = (ip->version_length & 15) * 4;
	if (ip->version_length >> 4 != 4 || header < sizeof(*ip))
		return INGRESS_REASON_MALFORMED;
	p->length = bpf_ntohs(ip->length);
	p->source_low = bpf_ntohl(ip->source);
	p->destination_low = bpf_ntohl(ip->destination);
	p->protocol = ip->protocol;
	p->hops = ip->ttl;
	p->end = p->network + p->length;
	p->transport = p->network + header;
	p->readable = READABLE_ADDRESSES | READABLE_PROTOCOL;
	p->fragment_id = bpf_ntohs(ip->id);
	offset = bpf_ntohs(ip->fragment);
	if (offset & 0x1fff)
		p->fragment = INGRESS_FRAGMENT_LATER;
	else if (offset & 0x2000)
		p->fragment = INGRESS_FRAGMENT_FIRST;
	if (p->length < header)
		return INGRESS_REASON_MALFORMED;
	if ((__u8 *)data + (p->end & 0x1ffff) > (__u8 *)data_end &&
	    bpf_xdp_get_buff_len(ctx) < p->end)
		return INGRESS_REASON_TRUNCATED;
	if ((offset & 0x1fff) == 1 && p->protocol == PROTOCOL_TCP)
		return INGRESS_REASON_TINY_FRAGMENT; /* would overwrite the flags: RFC 1858 */
	if (p->fragment == INGRESS_FRAGMENT_LATER)
		return 0;
	return parse_transport(data, data_end, p);
}

/* Walks the extension headers. Returns a reason, or 0 with the protocol reached. */
GLOBAL int parse_extensions(struct xdp_md *ctx, struct packet *p)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u32 at;
	__u8 next;

	if (!p)
		return INGRESS_REASON_TRUNCATED;
	at = p->transport;
	next = p->protocol;
	/* Unrolled: 6.1 takes no loop whose last step only falls through to its head. */
#pragma unroll
	for (int i = 0; i <= INGRESS_LIMIT_EXTENSIONS; i++) {
		__u8 *header;

		if (!is_extension(next)) {
			p->protocol = next;
			p->transport = at;
			p->readable |= READABLE_PROTOCOL;
			return 0;
		}
		if (i == INGRESS_LIMIT_EXTENSIONS)
			break;
		header = BYTES(data, data_end, at, 8);
		if (!header || at + 8 > p->end)
			return cut(p);
		if (next == PROTOCOL_FRAGMENT) {
			struct ip6_fragment *fragment = (void *)header;
			__u16 offset = bpf_ntohs(fragment->offset);

			next = fragment->next;
			p->fragment_id = bpf_ntohl(fragment->id);
			if (offset >> 3) {
				p->fragment = INGRESS_FRAGMENT_LATER;
				p->protocol = next;
				p->transport = at + 8;
				if (is_extension(next))
					return 0; /* what it carries is not known */
				p->readable |= READABLE_PROTOCOL;
				if (offset >> 3 == 1 && next == PROTOCOL_TCP)
					return INGRESS_REASON_TINY_FRAGMENT;
				return 0;
			}
			if (offset & 1)
				p->fragment = INGRESS_FRAGMENT_FIRST;
			at += 8;
		} else {
			next = header[0];
			at += (header[1] + 1) * 8;
		}
	}
	return INGRESS_REASON_EXTENSIONS;
}

GLOBAL int parse_ip6(struct xdp_md *ctx, struct packet *p)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ip6_header *ip;
	int reason;

	if (!p)
		return INGRESS_REASON_TRUNCATED;
	ip = BYTES(data, data_end, p->network, sizeof(*ip));
	if (!ip)
		return INGRESS_REASON_TRUNCATED;
	if (ip->version_class >> 4 != 6)
		return INGRESS_REASON_MALFORMED;
	p->length = bpf_ntohs(ip->length) + sizeof(*ip);
	p->source_high = bpf_be64_to_cpu(ip->source[0]);
	p->source_low = bpf_be64_to_cpu(ip->source[1]);
	p->destination_high = bpf_be64_to_cpu(ip->destination[0]);
	p->destination_low = bpf_be64_to_cpu(ip->destination[1]);
	p->protocol = ip->next;
	p->hops = ip->hops;
	p->end = p->network + p->length;
	p->transport = p->network + sizeof(*ip);
	/* An IPv4 address in disguise is on no wire: the kernel drops such sources too. */
	if (!p->source_high && p->source_low >> 32 == 0xffff)
		return INGRESS_REASON_MALFORMED;
	p->readable = READABLE_ADDRESSES;
	if ((__u8 *)data + (p->end & 0x1ffff) > (__u8 *)data_end &&
	    bpf_xdp_get_buff_len(ctx) < p->end)
		return INGRESS_REASON_TRUNCATED;
	if (is_extension(p->protocol)) {
		reason = parse_extensions(ctx, p);
		if (reason)
			return reason;
		if (p->fragment == INGRESS_FRAGMENT_LATER)
			return 0;
		data = (void *)(long)ctx->data;
		data_end = (void *)(long)ctx->data_end;
	}
	p->readable |= READABLE_PROTOCOL;
	return parse_transport(data, data_end, p);
}

/* Fills a zeroed packet. p->family is 0 where the frame is not IP as far as it was read. */
static __always_inline void parse(struct xdp_md *ctx, struct packet *p)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__be16 *type = BYTES(data, data_end, 12, 2);
	__u32 at = ETH_HLEN;
	__u16 ethertype;

	if (!type) {
		p->reason = INGRESS_REASON_TRUNCATED;
		return;
	}
	ethertype = bpf_ntohs(*type);
#pragma unroll
	for (int i = 0; i <= INGRESS_LIMIT_TAGS; i++) {
		__be16 *tag;

		if (ethertype != ETHERTYPE_VLAN && ethertype != ETHERTYPE_QINQ &&
		    ethertype != ETHERTYPE_QINQ_OLD)
			break;
		if (i == INGRESS_LIMIT_TAGS) {
			p->reason = INGRESS_REASON_TAGS;
			return;
		}
		tag = BYTES(data, data_end, at, 4);
		if (!tag) {
			p->reason = INGRESS_REASON_TRUNCATED;
			return;
		}
		if (!p->vlan)
			p->vlan = bpf_ntohs(tag[0]) & 0xfff;
		ethertype = bpf_ntohs(tag[1]);
		at += 4;
	}
	p->ethertype = ethertype;
	p->network = at;
	if (ethertype == ETHERTYPE_IP4) {
		p->family = 4;
		p->reason = parse_ip4(ctx, p);
	} else if (ethertype == ETHERTYPE_IP6) {
		p->family = 6;
		p->reason = parse_ip6(ctx, p);
	}
}

#endif
