/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sockets that are used without an address: judged once for each set of policies
 * and generation, by what made them usable.
 */
#ifndef GUARD_NET_USE_H
#define GUARD_NET_USE_H

#include "net.h"

/* Remembers that the caller's policies allow the socket's use with this peer. */
static __always_inline void remember(const struct net_request *request, struct sock *sk, __u64 peer)
{
	const struct tables *tables = request->caller.tables;
	__u64 policies = request->caller.policies;
	struct net_mark *mark;

	/* Without memory for it the socket is judged at every use. */
	mark = mark_of(sk, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!mark)
		return;
	if (mark->seal == mark_seal(tables, mark->policies, peer))
		policies |= mark->policies;
	mark->policies = policies;
	mark->seal = mark_seal(tables, policies, peer);
}

/*
 * A connect was allowed. It may fail, and leave the socket with the peer that it had:
 * so this says how the socket was connected, and not that its peer was judged.
 */
static __always_inline void remember_outbound(struct sock *sk)
{
	struct net_mark *mark;

	if (sk->__sk_common.skc_state != STATE_CLOSE)
		return;
	mark = mark_of(sk, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (mark)
		mark->outbound = 1;
}

/* Ports from here on are the kernel's to choose: net.ipv4.ip_local_port_range's default. */
#define FIRST_EPHEMERAL 32768

/*
 * Whether a connected socket was accepted here. It is its listener's copy, backlog and
 * all, and was not bound by itself; where the listener had no backlog, its port tells.
 */
static __always_inline bool was_accepted(const struct sock *sk, __u32 type)
{
	if (type != TYPE_STREAM && type != TYPE_SEQPACKET && type != TYPE_DCCP)
		return false;
	if (sk->sk_max_ack_backlog)
		return true;
	return !(BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks) & LOCK_BINDPORT) &&
	       sk->__sk_common.skc_num < FIRST_EPHEMERAL;
}

/*
 * A socket that is used without an address, or read from, is judged by what
 * made it usable: a connection by connect or accept, a bound socket by bind; a
 * raw one, and one of another family, by create. Once for each set of policies and
 * generation; one that was refused, again at each use. A connected UNIX socket
 * is not judged: its end may have been given to a process on purpose, as service
 * managers do with the standard output.
 */
static __noinline int judge_use(struct net_request *request, struct sock *sk)
{
	const struct tables *tables = request->caller.tables;
	struct socket_object *object = &request->object;
	__u32 zero = opaque_zero(tables), verb, size, outbound = 0;
	__u64 policies = request->caller.policies, peer;
	struct net_mark *mark;
	int error;

	/* Read once: what is remembered is about the peer that was judged. */
	take_end(request, sk, 1);
	peer = peer_number(object);
	mark = mark_of(sk, 0);
	if (mark) {
		if (mark->seal == mark_seal(tables, mark->policies, peer) &&
		    !(policies & ~mark->policies))
			return 0;
		outbound = mark->outbound;
	}
	if (!on_internet(object->family) || object->type == TYPE_RAW) {
		size = object->address_size;
		object->address_size = zero;
		request->verb = unrefined(GUARD_NET_CREATE, zero);
		error = judge_socket(request);
		if (error)
			return error;
		object->address_size = unrefined(size, zero);
	}
	if (on_internet(object->family)) {
		verb = GUARD_NET_CONNECT;
		if (!(address_word(object, 0) | address_word(object, 1) | address_word(object, 2) |
		      address_word(object, 3))) {
			if (!(BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks) & LOCK_BINDPORT))
				return 0;
			verb = GUARD_NET_BIND;
		} else if (!outbound && was_accepted(sk, object->type)) {
			verb = GUARD_NET_ACCEPT;
		}
		if (verb != GUARD_NET_CONNECT)
			take_end(request, sk, 0);
		request->verb = unrefined(verb, zero);
		error = judge_socket(request);
		if (error)
			return error;
	}
	remember(request, sk, peer);
	return 0;
}

#endif
