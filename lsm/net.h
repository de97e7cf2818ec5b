/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a socket and an address to an operation in canonical form, and from that
 * to a verdict.
 *
 * The automaton over operations is fed what operation_bytes() of
 * guard/plan/netpatterns.py makes: '/', family, type and protocol; then '@' and
 * an abstract UNIX socket's name, or port and address. Hexadecimal digits are
 * made eight at a time in a register, so no memory is written.
 */
#ifndef GUARD_NET_H
#define GUARD_NET_H

#include "judge.h"
#include "sockets.h"

/* One question to the automaton over operations on sockets. */
struct net_request {
	struct caller caller;
	struct socket_object object;
	__u32 verb; /* enum guard_net_verb */
	__u32 hook;
	__u32 reason; /* nonzero: not to be classified, and why */
};

/* Defined once in net.bpf.c; global, so that it is verified once a program. */
__u32 guard_step_socket(const struct tables *tables, const struct socket_object *object);

/*
 * What was judged of a socket, in its storage: that the policies ``policies``
 * allow its use under one generation, with the peer that it had. ``seal`` ties the
 * three together: where it does not fit, as after a connect elsewhere, nothing is known.
 */
struct net_mark {
	__u64 policies;
	__u64 seal;
	__u32 connecting; /* UNIX datagram sockets: the thread that is inside connect */
	__u32 outbound;	  /* it was connected from here: not accepted */
};

struct net_marks_map {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct net_mark);
};

extern struct net_marks_map guard_net_marks SEC(".maps");

/* A socket's mark, or NULL. Always NULL where there can be none. */
static __always_inline struct net_mark *mark_of(struct sock *sk, const __u64 flags)
{
	if (!guard_has_sk_storage)
		return (void *)0;
	return bpf_sk_storage_get(&guard_net_marks, sk, 0, flags);
}

/* The end of a connection as a number: one to one for IPv4. */
static __always_inline __u64 peer_number(const struct socket_object *object)
{
	const __u32 *word = (const __u32 *)object->address;
	__u64 number = ((__u64)word[0] << 16 | object->port) * 0x9e3779b97f4a7c15ull;

	return number + word[1] * 0xbf58476d1ce4e5b9ull +
	       ((__u64)word[2] << 32 | word[3]) * 0x94d049bb133111ebull;
}

/* An odd multiplier: each generation has another summand. */
static __always_inline __u64 mark_seal(const struct tables *tables, __u64 policies, __u64 peer)
{
	return policies + peer + (tables->root.generation + 1ull) * 0xd6e8feb86659fd93ull;
}

/* Begins a request with everything opaque, so that to the verifier all of them look alike. */
static __always_inline void begin_net(struct net_request *request, __u32 verb, __u32 hook)
{
	__u32 zero = opaque_zero(request->caller.tables);

	request->verb = unrefined(verb, zero);
	request->hook = unrefined(hook, zero);
	request->reason = zero;
	request->object.port = zero;
	request->object.address_size = zero;
	request->object.name_size = zero;
	request->object.abstract = zero;
	request->object.name = zero;
	__builtin_memset(request->object.address, 0, sizeof(request->object.address));
}

static __always_inline int family_of(const struct sock *sk)
{
	return sk->__sk_common.skc_family;
}

/* Whether the kernel made the socket for itself: what it does there is nobody's act. */
static __always_inline bool is_kernels(const struct sock *sk)
{
	return BPF_CORE_READ_BITFIELD_PROBED(sk, sk_kern_sock);
}

/*
 * The socket's own part of the operation. A socket of SMC is a TCP socket to
 * whom it talks to, where its address is judged.
 */
static __always_inline void take_socket(struct net_request *request, const struct sock *sk)
{
	struct socket_object *object = &request->object;
	__u32 zero = opaque_zero(request->caller.tables);
	__u32 protocol = sk->sk_protocol;

	object->family = unrefined(family_of(sk), zero);
	object->type = unrefined(sk->sk_type, zero);
	if (protocol == PROTOCOL_SMC)
		protocol = PROTOCOL_TCP;
	object->protocol = unrefined(protocol, zero);
}

static __always_inline __u32 address_word(const struct socket_object *object, const int word)
{
	return *(const __u32 *)(object->address + 4 * word);
}

/* "::ffff:a.b.c.d" is a.b.c.d. */
static __always_inline void unmap(struct net_request *request)
{
	struct socket_object *object = &request->object;
	__u32 size = 16;

	if (!address_word(object, 0) && !address_word(object, 1) &&
	    address_word(object, 2) == __builtin_bswap32(0xffff)) {
		*(__u32 *)object->address = address_word(object, 3);
		*(__u32 *)(object->address + 8) = 0;
		*(__u32 *)(object->address + 12) = 0;
		size = 4;
	}
	object->address_size = unrefined(size, opaque_zero(request->caller.tables));
}

/* A socket address as the kernel has it: families differ only from here on. */
struct raw_address {
	__u16 family;
	__u16 port;
	__u32 inet;
	__u8 inet6[16];
};

/*
 * Takes the address that a program gave. The hooks get the kernel's copy, so
 * nobody changes it any more (move_addr_to_kernel, net/socket.c). ``family`` is the
 * socket's. What the socket's family does not have, and what is too short, is a
 * reason to refuse.
 */
static __noinline int take_address(struct net_request *request, const void *from, int size)
{
	struct socket_object *object = &request->object;
	__u32 zero = opaque_zero(request->caller.tables);
	struct raw_address raw = {};
	__u32 family = object->family, given;

	if (size >= ADDRESS_INET6_SIZE)
		bpf_probe_read_kernel(&raw, ADDRESS_INET6_SIZE, from);
	else if (size >= ADDRESS_INET_SIZE)
		bpf_probe_read_kernel(&raw, ADDRESS_INET_SIZE, from);
	else
		goto refused;
	given = raw.family;
	if (family == FAMILY_SMC) {
		family = given;
		object->family = unrefined(given, zero);
		object->protocol = unrefined(PROTOCOL_TCP, zero);
	}
	/* IPv4 sends and binds take AF_UNSPEC for AF_INET, raw IPv6 sockets for AF_INET6. */
	if (given == FAMILY_UNSPEC)
		given = family;
	object->port = unrefined(__builtin_bswap16(raw.port), zero);
	if (given == FAMILY_INET) {
		/* A datagram on an IPv6 socket may have an IPv4 address (udpv6_sendmsg). */
		*(__u32 *)object->address = raw.inet;
		object->address_size = unrefined(4, zero);
		return 0;
	}
	if (given != FAMILY_INET6 || family != FAMILY_INET6 || size < ADDRESS_INET6_SIZE)
		goto refused;
	__builtin_memcpy(object->address, raw.inet6, sizeof(raw.inet6));
	unmap(request);
	return 0;
refused:
	request->reason = unrefined(GUARD_REASON_ADDRESS, zero);
	return 0;
}

/* Whoever asks for no address in particular reaches this host itself. */
static __always_inline void take_loopback(struct net_request *request)
{
	struct socket_object *object = &request->object;
	__u32 any = address_word(object, 0) | address_word(object, 1) | address_word(object, 2) |
		    address_word(object, 3);

	if (any || !object->address_size)
		return;
	if (object->address_size == 4)
		*(__u32 *)object->address = __builtin_bswap32(0x7f000001);
	else
		*(__u32 *)(object->address + 12) = __builtin_bswap32(1);
}

static __always_inline bool on_internet(__u32 family)
{
	return family == FAMILY_INET || family == FAMILY_INET6;
}

/* The socket's own address and port, or (``peer``) the one that it is connected to. */
static __noinline int take_end(struct net_request *request, const struct sock *sk, __u32 peer)
{
	struct socket_object *object = &request->object;
	__u32 zero = opaque_zero(request->caller.tables);
	__u32 family = object->family, port;

	if (!on_internet(family))
		return 0;
	port = peer ? __builtin_bswap16(sk->__sk_common.skc_dport) : sk->__sk_common.skc_num;
	object->port = unrefined(port, zero);
	if (family == FAMILY_INET) {
		*(__u32 *)object->address =
			peer ? sk->__sk_common.skc_daddr : sk->__sk_common.skc_rcv_saddr;
		object->address_size = unrefined(4, zero);
		return 0;
	}
	bpf_probe_read_kernel(
		object->address, sizeof(object->address),
		peer ? (const void *)__builtin_preserve_access_index(&sk->__sk_common.skc_v6_daddr)
		     : (const void *)__builtin_preserve_access_index(
			       &sk->__sk_common.skc_v6_rcv_saddr));
	unmap(request);
	return 0;
}

/*
 * Weighs, settles and records one operation on a socket. Returns what the hook
 * returns, but see hook_result.
 */
static __noinline int judge_socket(const struct net_request *request)
{
	const struct caller *caller = &request->caller;
	const struct tables *tables = caller->tables;
	__u32 zero = opaque_zero(tables), class_id = zero, verb = request->verb, state;
	struct report report;
	__u64 allow = zero;

	begin_report(&report, caller, GUARD_SECTION_NET, GUARD_HOOK_SOCKET_CREATE, 0);
	report.hook = unrefined(request->hook, zero);
	report.verbs = unrefined(1u << (verb & 31), zero);
	report.flags = unrefined(request->object.address_size ? 0 : GUARD_EVENT_ANY_PORT, zero);
	if (is_canary(caller))
		return caller->canary ? send_canary(caller, &report) : 0;
	report.reason = unrefined(request->reason, zero);
	if (!request->reason) {
		state = guard_step_socket(tables, &request->object);
		class_id = cell(tables, state, GUARD_COLUMN_CLASS * sizeof(__u32));
		weigh(&report.verdict,
		      verb_row(tables, cell(tables, state, GUARD_COLUMN_ROW * sizeof(__u32)) + 1,
			       verb),
		      &allow);
		report.verdict.denied |=
			report.verdict.by_rule |
			(tables->root.section[GUARD_SECTION_NET].default_deny & ~allow);
	}
	if (settle(tables, &report))
		send_plain(tables, &report, &request->object, class_id);
	return report.error;
}

#endif
