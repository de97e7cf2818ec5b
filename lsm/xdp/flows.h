/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Return traffic. TCP of the host's own: the kernel's sockets are the table, so
 * nobody outside can fill it. All else: a table of what was seen to leave,
 * written by the egress program; buckets of eight, the oldest gives way.
 */
#ifndef GUARD_INGRESS_FLOWS_H
#define GUARD_INGRESS_FLOWS_H

#include "parse.h"

/* Flow times are in units of 2^FLOW_SHIFT jiffies, modulo 2^16. */
#define FLOW_SHIFT 8
#define FLOW_TIME 0xffff

/* What a flow is told apart by, seen from this host. */
struct flow {
	__u64 local_high;
	__u64 local_low;
	__u64 remote_high;
	__u64 remote_low;
	__u32 local_port; /* ICMP: the echo's id; a fragment: its id */
	__u32 remote_port;
	__u32 kind; /* enum flow_kind, shifted over the protocol */
};

enum flow_kind {
	FLOW_TRAFFIC = 0,
	FLOW_FRAGMENT = 1 << 8,	 /* a datagram whose first fragment was let in */
	FLOW_ASKED_ALL = 2 << 8, /* sent to a group: whoever answers */
};

/* States of a socket, include/net/tcp_states.h. */
#define STATE_LISTEN 10

static __noinline __u64 flow_hash(const struct flow *f)
{
	__u64 hash = mix(constants.seed[0] ^ f->kind, f->local_high);

	hash = mix(hash, f->local_low);
	hash = mix(hash, f->remote_high);
	hash = mix(hash, f->remote_low);
	return mix(hash, (__u64)f->local_port << 32 | f->remote_port);
}

static __always_inline __u64 flow_now(void)
{
	return bpf_jiffies64() >> FLOW_SHIFT & FLOW_TIME;
}

GLOBAL int flow_known(const struct flow *f, __u32 timeout)
{
	struct ingress_flow_bucket *bucket;
	__u64 hash, now = flow_now();
	__u32 key;

	if (!f)
		return false;
	hash = flow_hash(f);
	key = (hash >> 40) % INGRESS_LIMIT_FLOW_BUCKETS;
	bucket = bpf_map_lookup_elem(&ingress_flows, &key);
	if (!bucket)
		return false;
		/* The time takes the place of the hash's low bits; the key is of high ones. */
#pragma unroll
	for (int way = 0; way < 8; way++) {
		__u64 entry = bucket->way[way];

		if (!((entry ^ hash) >> 16) && ((now - entry) & FLOW_TIME) <= timeout && entry)
			return true;
	}
	return false;
}

/* Keeps a new flow's ends for `guard flows`: the table itself holds fingerprints only. */
static __noinline void keep_ends(const struct flow *f, __u32 key, __u32 way)
{
	struct ingress_ends_bucket *bucket = bpf_map_lookup_elem(&ingress_ends, &key);
	struct ingress_ends *ends;

	if (!bucket)
		return;
	ends = &bucket->way[way & 7];
	ends->local[0] = f->local_high;
	ends->local[1] = f->local_low;
	ends->remote[0] = f->remote_high;
	ends->remote[1] = f->remote_low;
	ends->local_port = f->local_port;
	ends->remote_port = f->remote_port;
	ends->kind = f->kind;
}

GLOBAL int flow_record(const struct flow *f)
{
	struct ingress_flow_bucket *bucket;
	bool known = false;
	__u64 hash, now = flow_now(), oldest = 0;
	__u32 key, victim = 0;

	if (!f)
		return 0;
	hash = flow_hash(f);
	key = (hash >> 40) % INGRESS_LIMIT_FLOW_BUCKETS;
	bucket = bpf_map_lookup_elem(&ingress_flows, &key);
	if (!bucket)
		return 0;
	for (__u32 way = 0; way < 8; way++) {
		__u64 entry = bucket->way[way];
		__u64 age = entry ? (now - entry) & FLOW_TIME : FLOW_TIME + 1;

		if (!((entry ^ hash) >> 16)) {
			victim = way;
			known = true;
			/* Not written anew in the same moment: the line stays shared. */
			if (!age)
				return 0;
			break;
		}
		if (age > oldest) {
			oldest = age;
			victim = way;
		}
	}
	bucket->way[victim & 7] = (hash & ~(__u64)FLOW_TIME) | now;
	if (!known && !(f->kind & FLOW_FRAGMENT))
		keep_ends(f, key, victim);
	return 0;
}

/* A packet that comes in as the flow it would be an answer to. */
static __always_inline void flow_of(const struct packet *p, struct flow *f)
{
	f->local_high = p->destination_high;
	f->local_low = p->destination_low;
	f->remote_high = p->source_high;
	f->remote_low = p->source_low;
	f->local_port = p->destination_port;
	f->remote_port = p->source_port;
	f->kind = p->protocol;
}

/* The key of a fragmented datagram: RFC 791 has the protocol in it, RFC 8200 has not. */
static __always_inline void fragments_of(const struct packet *p, struct flow *f)
{
	flow_of(p, f);
	f->local_port = p->fragment_id;
	f->remote_port = 0;
	f->kind = FLOW_FRAGMENT | (p->family == 4 ? p->protocol : 0);
}

/* Whether the host has a socket for this segment that is more than a listener. */
static __noinline bool socket_known(struct xdp_md *ctx, const struct flow *f, bool is_ip4)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sock;
	bool known;

	if (is_ip4) {
		tuple.ipv4.saddr = bpf_htonl(f->remote_low);
		tuple.ipv4.daddr = bpf_htonl(f->local_low);
		tuple.ipv4.sport = bpf_htons(f->remote_port);
		tuple.ipv4.dport = bpf_htons(f->local_port);
		sock = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	} else {
		tuple.ipv6.saddr[0] = bpf_htonl(f->remote_high >> 32);
		tuple.ipv6.saddr[1] = bpf_htonl(f->remote_high);
		tuple.ipv6.saddr[2] = bpf_htonl(f->remote_low >> 32);
		tuple.ipv6.saddr[3] = bpf_htonl(f->remote_low);
		tuple.ipv6.daddr[0] = bpf_htonl(f->local_high >> 32);
		tuple.ipv6.daddr[1] = bpf_htonl(f->local_high);
		tuple.ipv6.daddr[2] = bpf_htonl(f->local_low >> 32);
		tuple.ipv6.daddr[3] = bpf_htonl(f->local_low);
		tuple.ipv6.sport = bpf_htons(f->remote_port);
		tuple.ipv6.dport = bpf_htons(f->local_port);
		sock = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	if (!sock)
		return false;
	known = sock->state != STATE_LISTEN;
	bpf_sk_release(sock);
	return known;
}

/* Whether traffic of this protocol and these ends is the host's own. */
static __noinline bool ends_known(struct xdp_md *ctx, __u32 flags, struct flow *f, bool is_ip4)
{
	if (f->kind == PROTOCOL_TCP) {
		if ((flags & INGRESS_FLAG_TCP_SOCKETS) && socket_known(ctx, f, is_ip4))
			return true;
		return (flags & INGRESS_FLAG_TCP_FLOWS) && flow_known(f, constants.flow_timeout);
	}
	if (!(flags & INGRESS_FLAG_UDP_FLOWS))
		return false;
	if (flow_known(f, constants.flow_timeout))
		return true;
	if (f->kind != PROTOCOL_UDP)
		return false;
	/* An answer to what was sent to a group or to all comes from anybody. */
	f->kind |= FLOW_ASKED_ALL;
	f->remote_high = f->remote_low = f->local_high = f->local_low = 0;
	return flow_known(f, constants.flow_timeout);
}

/* The packet that an ICMP error quotes, turned round; false when it cannot be told. */
static __noinline bool quoted(struct xdp_md *ctx, const struct packet *p, struct flow *f)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u32 at = p->transport + 8, transport;
	__be16 *ports;

	if (p->family == 4) {
		struct ip4_header *ip = BYTES(data, data_end, at, sizeof(*ip));

		if (!ip || ip->version_length >> 4 != 4 || (ip->version_length & 15) < 5 ||
		    bpf_ntohs(ip->fragment) & 0x1fff)
			return false;
		f->local_high = f->remote_high = 0;
		f->local_low = bpf_ntohl(ip->source);
		f->remote_low = bpf_ntohl(ip->destination);
		f->kind = ip->protocol;
		transport = at + (ip->version_length & 15) * 4;
	} else {
		struct ip6_header *ip = BYTES(data, data_end, at, sizeof(*ip));

		if (!ip || ip->version_class >> 4 != 6)
			return false;
		f->local_high = bpf_be64_to_cpu(ip->source[0]);
		f->local_low = bpf_be64_to_cpu(ip->source[1]);
		f->remote_high = bpf_be64_to_cpu(ip->destination[0]);
		f->remote_low = bpf_be64_to_cpu(ip->destination[1]);
		f->kind = ip->next;
		transport = at + sizeof(*ip);
	}
	/* An error goes to who sent what it quotes. */
	if (f->local_high != p->destination_high || f->local_low != p->destination_low)
		return false;
	ports = BYTES(data, data_end, transport, 8);
	if (!ports || transport + 8 > p->end)
		return false;
	if (has_ports(f->kind)) {
		f->local_port = bpf_ntohs(ports[0]);
		f->remote_port = bpf_ntohs(ports[1]);
		return true;
	}
	/* An echo request: 8 or 128, and its id. */
	if (!((f->kind == PROTOCOL_ICMP && *(__u8 *)ports == 8) ||
	      (f->kind == PROTOCOL_ICMP6 && *(__u8 *)ports == 128)))
		return false;
	f->local_port = bpf_ntohs(ports[2]);
	f->remote_port = 0;
	return true;
}

static __always_inline bool is_error(const struct packet *p)
{
	/* RFC 792: unreachable, time exceeded, parameter problem; RFC 4443: 1 to 4. */
	if (p->family == 4)
		return p->protocol == PROTOCOL_ICMP &&
		       (p->destination_port == 3 || p->destination_port == 11 ||
			p->destination_port == 12);
	return p->protocol == PROTOCOL_ICMP6 && p->destination_port >= 1 &&
	       p->destination_port <= 4;
}

static __always_inline bool is_echo_reply(const struct packet *p)
{
	return p->family == 4 ? p->protocol == PROTOCOL_ICMP && p->destination_port == 0
			      : p->protocol == PROTOCOL_ICMP6 && p->destination_port == 129;
}

/* Whether the packet answers something that the host sent. */
GLOBAL int is_return_traffic(struct xdp_md *ctx, __u32 flags, const struct packet *p)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct flow f = {};

	if (!p || !(p->readable & READABLE_PORTS))
		return false;
	if (has_ports(p->protocol)) {
		/* A SYN alone opens; it answers nothing. */
		if (p->protocol == PROTOCOL_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
			return false;
		flow_of(p, &f);
		return ends_known(ctx, flags, &f, p->family == 4);
	}
	if (!(flags & INGRESS_FLAG_ICMP))
		return false;
	if (is_echo_reply(p)) {
		__be16 *icmp = BYTES(data, data_end, p->transport, 8);

		if (!icmp)
			return false;
		flow_of(p, &f);
		f.local_port = bpf_ntohs(icmp[2]);
		f.remote_port = 0;
		return flow_known(&f, constants.flow_timeout);
	}
	if (!is_error(p) || !quoted(ctx, p, &f))
		return false;
	if (f.kind == PROTOCOL_ICMP || f.kind == PROTOCOL_ICMP6)
		return flow_known(&f, constants.flow_timeout);
	return ends_known(ctx, flags, &f, p->family == 4);
}

/*
 * IPv6 neighbour discovery (RFC 4861: hop limit 255 says that no router
 * forwarded it; redirects are left to rules) and listener messages (RFC 3810:
 * hop limit 1 and a link-local source).
 */
static __always_inline bool is_neighbour(const struct packet *p)
{
	if (p->family != 6 || p->protocol != PROTOCOL_ICMP6 || !(p->readable & READABLE_PORTS))
		return false;
	if (p->destination_port >= 133 && p->destination_port <= 136)
		return p->hops == 255;
	if ((p->destination_port >= 130 && p->destination_port <= 132) ||
	    p->destination_port == 143)
		return p->hops == 1 && p->source_high >> 54 == 0xfe80 >> 6;
	return false;
}

#endif
