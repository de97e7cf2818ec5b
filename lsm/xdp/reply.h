/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Answers that the filter sends itself: TCP RST (RFC 9293 3.10.7), ICMP
 * unreachable (RFC 1812 5.2.7.1, RFC 4443 3.1), and SYN cookies. They are
 * programs of their own, reached by tail call with the packet in scratch.
 */
#ifndef GUARD_INGRESS_REPLY_H
#define GUARD_INGRESS_REPLY_H

#include "scratch.h"

/* Answers of one kind on one CPU in a jiffy: a flood gets silence. */
#define REPLIES_PER_TICK 64

/* The Internet checksum of `size` (a multiple of 4) bytes on the stack, over `sum`. */
static __always_inline __u16 checksum(const void *bytes, __u32 size, __s64 sum)
{
	sum = bpf_csum_diff(0, 0, (void *)bytes, size, sum);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

struct pseudo4 {
	__be32 source;
	__be32 destination;
	__u8 zero;
	__u8 protocol;
	__be16 length;
};

struct pseudo6 {
	__be64 source[2];
	__be64 destination[2];
	__be32 length;
	__u8 zero[3];
	__u8 protocol;
};

#define ANSWER_TTL 64

static __always_inline __s64 answer4(struct ip4_header *ip, const struct packet *p, __u8 protocol,
				     __u16 payload)
{
	struct pseudo4 pseudo = {
		.source = bpf_htonl(p->destination_low),
		.destination = bpf_htonl(p->source_low),
		.protocol = protocol,
		.length = bpf_htons(payload),
	};

	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version_length = 0x45;
	ip->length = bpf_htons(sizeof(*ip) + payload);
	ip->fragment = bpf_htons(0x4000);
	ip->ttl = ANSWER_TTL;
	ip->protocol = protocol;
	ip->source = pseudo.source;
	ip->destination = pseudo.destination;
	ip->checksum = checksum(ip, sizeof(*ip), 0);
	return bpf_csum_diff(0, 0, (void *)&pseudo, sizeof(pseudo), 0);
}

static __always_inline __s64 answer6(struct ip6_header *ip, const struct packet *p, __u8 protocol,
				     __u16 payload)
{
	struct pseudo6 pseudo = {
		.source = { bpf_cpu_to_be64(p->destination_high),
			    bpf_cpu_to_be64(p->destination_low) },
		.destination = { bpf_cpu_to_be64(p->source_high), bpf_cpu_to_be64(p->source_low) },
		.length = bpf_htonl(payload),
		.protocol = protocol,
	};

	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version_class = 0x60;
	ip->length = bpf_htons(payload);
	ip->next = protocol;
	ip->hops = ANSWER_TTL;
	__builtin_memcpy(ip->source, pseudo.source, sizeof(pseudo.source));
	__builtin_memcpy(ip->destination, pseudo.destination, sizeof(pseudo.destination));
	return bpf_csum_diff(0, 0, (void *)&pseudo, sizeof(pseudo), 0);
}

/* Makes the frame `size` bytes long and swaps its MAC addresses. */
static __noinline bool turn_frame(struct xdp_md *ctx, __u32 size)
{
	__u8 mac[12], swapped[12];
	int delta = (int)size - (int)(ctx->data_end - ctx->data);

	if (delta && bpf_xdp_adjust_tail(ctx, delta))
		return false;
	if (bpf_xdp_load_bytes(ctx, 0, mac, sizeof(mac)))
		return false;
	__builtin_memcpy(swapped, mac + 6, 6);
	__builtin_memcpy(swapped + 6, mac, 6);
	return !bpf_xdp_store_bytes(ctx, 0, swapped, sizeof(swapped));
}

/* Writes a TCP header without options, with the IP header before it. */
static __noinline bool send_tcp(struct xdp_md *ctx, const struct packet *p, struct tcp_header *tcp)
{
	__u32 at = p->network & 63;
	__s64 sum;

	tcp->source = bpf_htons(p->destination_port);
	tcp->destination = bpf_htons(p->source_port);
	tcp->length = sizeof(*tcp) / 4 << 4;
	tcp->checksum = 0;
	tcp->urgent = 0;
	if (p->family == 4) {
		struct ip4_header ip;

		if (!turn_frame(ctx, at + sizeof(ip) + sizeof(*tcp)))
			return false;
		sum = answer4(&ip, p, PROTOCOL_TCP, sizeof(*tcp));
		tcp->checksum = checksum(tcp, sizeof(*tcp), sum);
		return !bpf_xdp_store_bytes(ctx, at, &ip, sizeof(ip)) &&
		       !bpf_xdp_store_bytes(ctx, at + sizeof(ip), tcp, sizeof(*tcp));
	} else {
		struct ip6_header ip;

		if (!turn_frame(ctx, at + sizeof(ip) + sizeof(*tcp)))
			return false;
		sum = answer6(&ip, p, PROTOCOL_TCP, sizeof(*tcp));
		tcp->checksum = checksum(tcp, sizeof(*tcp), sum);
		return !bpf_xdp_store_bytes(ctx, at, &ip, sizeof(ip)) &&
		       !bpf_xdp_store_bytes(ctx, at + sizeof(ip), tcp, sizeof(*tcp));
	}
}

static __noinline bool send_reset(struct xdp_md *ctx, const struct packet *p)
{
	struct tcp_header tcp = {};
	__be32 sequence = 0;
	__u32 length;

	if (p->tcp_flags & TCP_RST || bpf_xdp_load_bytes(ctx, p->transport, &tcp, sizeof(tcp)))
		return false;
	length = p->end - p->transport - (tcp.length >> 4) * 4 + !!(p->tcp_flags & TCP_SYN) +
		 !!(p->tcp_flags & TCP_FIN);
	if (p->tcp_flags & TCP_ACK) {
		sequence = tcp.acknowledgement;
		tcp.acknowledgement = 0;
		tcp.flags = TCP_RST;
	} else {
		tcp.acknowledgement = bpf_htonl(bpf_ntohl(tcp.sequence) + length);
		tcp.flags = TCP_RST | TCP_ACK;
	}
	tcp.sequence = sequence;
	tcp.window = 0;
	return send_tcp(ctx, p, &tcp);
}

/* ICMP: 8 bytes, then the IP header and 8 bytes of what is refused. */
struct unreachable4 {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 zero;
	__u8 quote[28];
};

struct unreachable6 {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 zero;
	__u8 quote[48];
};

static __noinline bool send_unreachable4(struct xdp_md *ctx, const struct packet *p)
{
	struct unreachable4 icmp = { .type = 3, .code = 13 };
	struct ip4_header ip;
	__u32 at = p->network & 63;

	/* An error is answered by none (RFC 1122 3.2.2), and options are not quoted. */
	if (p->length < sizeof(icmp.quote) || p->transport != p->network + sizeof(ip) ||
	    (p->protocol == PROTOCOL_ICMP && p->destination_port != 8))
		return false;
	if (bpf_xdp_load_bytes(ctx, at, icmp.quote, sizeof(icmp.quote)))
		return false;
	if (!turn_frame(ctx, at + sizeof(ip) + sizeof(icmp)))
		return false;
	answer4(&ip, p, PROTOCOL_ICMP, sizeof(icmp));
	icmp.checksum = checksum(&icmp, sizeof(icmp), 0);
	return !bpf_xdp_store_bytes(ctx, at, &ip, sizeof(ip)) &&
	       !bpf_xdp_store_bytes(ctx, at + sizeof(ip), &icmp, sizeof(icmp));
}

static __noinline bool send_unreachable6(struct xdp_md *ctx, const struct packet *p)
{
	struct unreachable6 icmp = { .type = 1, .code = 1 };
	struct ip6_header ip;
	__u32 at = p->network & 63;
	__s64 sum;

	if (p->length < sizeof(icmp.quote) ||
	    (p->protocol == PROTOCOL_ICMP6 && p->destination_port != 128))
		return false;
	if (bpf_xdp_load_bytes(ctx, at, icmp.quote, sizeof(icmp.quote)))
		return false;
	if (!turn_frame(ctx, at + sizeof(ip) + sizeof(icmp)))
		return false;
	sum = answer6(&ip, p, PROTOCOL_ICMP6, sizeof(icmp));
	icmp.checksum = checksum(&icmp, sizeof(icmp), sum);
	return !bpf_xdp_store_bytes(ctx, at, &ip, sizeof(ip)) &&
	       !bpf_xdp_store_bytes(ctx, at + sizeof(ip), &icmp, sizeof(icmp));
}

/* Addresses that are one host's: no group, not everybody, not nobody. */
static __always_inline bool is_one_host(const struct packet *p)
{
	if (p->family == 4)
		return p->source_low && p->source_low >> 28 < 14 && p->destination_low >> 28 < 14;
	return (p->source_high || p->source_low) && p->source_high >> 56 != 0xff &&
	       p->destination_high >> 56 != 0xff;
}

static __always_inline bool may_answer(struct scratch *s)
{
	__u32 now = bpf_jiffies64();

	if (s->tick != now) {
		s->tick = now;
		s->in_tick = 0;
	}
	return s->in_tick++ < REPLIES_PER_TICK;
}

/* The verdict of a rejection: the answer goes back, or there is none. */
SEC("xdp")
int guard_ingress_reply(struct xdp_md *ctx)
{
	struct scratch *s = scratch();
	struct packet *p;
	bool sent = false;

	if (!s)
		return XDP_ABORTED;
	p = &s->packet;
	if (is_one_host(p) && p->fragment != INGRESS_FRAGMENT_LATER &&
	    (p->readable & READABLE_PORTS) && may_answer(s)) {
		if (p->protocol == PROTOCOL_TCP)
			sent = send_reset(ctx, p);
		else if (p->family == 4)
			sent = send_unreachable4(ctx, p);
		else
			sent = send_unreachable6(ctx, p);
	}
	if (sent)
		return XDP_TX;
	s->decision.slot = s->decision.reason = INGRESS_REASON_NO_REPLY;
	s->decision.verdict = XDP_DROP;
	account(ctx, p, &s->decision, false, false);
	return XDP_DROP;
}

/* Bytes of a TCP header with all its options. */
#define TCP_LONGEST 60

/*
 * A SYN that was let in. The kernel makes a cookie only while the listener's
 * queue is full; otherwise the SYN goes to the stack.
 */
SEC("xdp")
int guard_ingress_syn_cookie(struct xdp_md *ctx)
{
	__u8 tcp[TCP_LONGEST] = {}, ip[40] = {};
	struct bpf_sock_tuple tuple = {};
	struct scratch *s = scratch();
	struct tcp_header answer = {};
	struct tcp_header *syn = (void *)tcp;
	struct bpf_sock *sock;
	struct packet *p;
	__u32 size;
	__s64 cookie = -1;

	if (!s)
		return XDP_ABORTED;
	p = &s->packet;
	if (bpf_xdp_load_bytes(ctx, p->transport, tcp, sizeof(struct tcp_header)))
		return XDP_PASS;
	size = (syn->length >> 4) * 4;
	OPAQUE(size);
	if (size < sizeof(struct tcp_header) || size > sizeof(tcp))
		return XDP_PASS;
	if (bpf_xdp_load_bytes(ctx, p->transport, tcp, size))
		return XDP_PASS;
	if (p->family == 4) {
		if (bpf_xdp_load_bytes(ctx, p->network, ip, sizeof(struct ip4_header)))
			return XDP_PASS;
		ip[0] = 0x45; /* without the options, which are not here */
		__builtin_memcpy(&tuple.ipv4.saddr, ip + 12, 8);
		__builtin_memcpy(&tuple.ipv4.sport, tcp, 4);
	} else {
		if (bpf_xdp_load_bytes(ctx, p->network, ip, sizeof(struct ip6_header)))
			return XDP_PASS;
		__builtin_memcpy(&tuple.ipv6.saddr, ip + 8, 32);
		__builtin_memcpy(&tuple.ipv6.sport, tcp, 4);
	}
	if (p->family == 4)
		sock = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	else
		sock = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	if (!sock)
		return XDP_PASS;
	if (sock->state == STATE_LISTEN)
		cookie = p->family == 4 ? bpf_tcp_gen_syncookie(sock, ip, sizeof(struct ip4_header),
								(void *)tcp, size)
					: bpf_tcp_gen_syncookie(sock, ip, sizeof(struct ip6_header),
								(void *)tcp, size);
	bpf_sk_release(sock);
	if (cookie < 0)
		return XDP_PASS;
	answer.sequence = bpf_htonl((__u32)cookie);
	answer.acknowledgement = bpf_htonl(bpf_ntohl(syn->sequence) + 1);
	answer.flags = TCP_SYN | TCP_ACK;
	answer.window = bpf_htons(65535);
	if (!send_tcp(ctx, p, &answer))
		return XDP_DROP;
	s->decision.slot = s->decision.reason = INGRESS_REASON_SYN_COOKIE;
	s->decision.verdict = XDP_TX;
	account(ctx, p, &s->decision, false, false);
	return XDP_TX;
}

#endif
