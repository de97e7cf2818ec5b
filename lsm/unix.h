/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * UNIX sockets by the name that they are bound to: a path, judged like any
 * object with a path; or an abstract name, which is part of an operation.
 */
#ifndef GUARD_UNIX_H
#define GUARD_UNIX_H

#include "net.h"

/*
 * A question to one or the other kind of automaton. One place in the hook's own frame,
 * because the way from here to a long record is the deepest there is.
 */
union unix_request {
	struct request path;
	struct net_request name;
};

/* By the socket file's place: the path automata, with verbs of the net section. */
static __always_inline int judge_unix_path(struct request *request, struct dentry *dentry,
					   __u32 verb, const __u32 hook)
{
	__u32 zero = opaque_zero(request->caller.tables);

	request->dentry = dentry;
	request->second = zero;
	request->device = unrefined(find_device(request->caller.tables, dentry->d_sb->s_dev), zero);
	request->verb = unrefined(verb, zero);
	request->other_verb = unrefined(NO_VERB, zero);
	request->section = GUARD_SECTION_NET;
	request->hook = hook;
	request->reason = zero;
	return judge(request);
}

/* By the abstract name that the socket is bound to, if it is bound at all. */
static __always_inline int judge_unix_name(struct net_request *request, struct sock *sk,
					   struct unix_address *address, __u32 verb,
					   const __u32 hook)
{
	__u32 zero = opaque_zero(request->caller.tables), size;

	begin_net(request, verb, hook);
	take_socket(request, sk);
	if (address) {
		/* The family, a NUL, and the name. */
		size = address->len - ADDRESS_FAMILY_SIZE - 1;
		request->object.abstract = unrefined(1, zero);
		request->object.name_size =
			unrefined(size > ABSTRACT_MOST ? ABSTRACT_MOST : size, zero);
		request->object.name = number_of(address) +
				       bpf_core_field_offset(struct unix_address, name) +
				       ADDRESS_FAMILY_SIZE + 1;
	}
	return judge_socket(request);
}

/*
 * By the name of ``sk``, which its owner or the caller keeps from going away (every
 * hook on a peer holds the peer's lock).
 */
static __always_inline int judge_unix(union unix_request *request, struct sock *sk, __u32 verb,
				      const __u32 hook)
{
	struct unix_sock *unix = bpf_skc_to_unix_sock(sk);
	struct dentry *dentry = unix ? unix->path.dentry : (void *)0;

	if (dentry)
		return judge_unix_path(&request->path, dentry, verb, hook);
	return judge_unix_name(&request->name, sk, unix ? unix->addr : (void *)0, verb, hook);
}

/*
 * The name in an address that a socket is to be bound to. Returns whether it is to be
 * judged here: a path is, when its node is made (guard_unix_bind).
 */
static __always_inline bool take_abstract(struct net_request *request, struct sockaddr *from,
					  int size)
{
	__u32 zero = opaque_zero(request->caller.tables), most;
	struct {
		__u16 family;
		__u8 first;
	} __attribute__((packed)) start = {};

	if (size > ADDRESS_FAMILY_SIZE)
		bpf_probe_read_kernel(&start, sizeof(start), from);
	else
		bpf_probe_read_kernel(&start, ADDRESS_FAMILY_SIZE, from);
	if (start.family != FAMILY_UNIX) {
		request->reason = unrefined(GUARD_REASON_ADDRESS, zero);
		return true;
	}
	/* Without any name the kernel makes up an abstract one, which no rule can name. */
	if (size <= ADDRESS_FAMILY_SIZE)
		return true;
	if (start.first)
		return false;
	most = size - ADDRESS_FAMILY_SIZE - 1;
	request->object.abstract = unrefined(1, zero);
	request->object.name_size = unrefined(most > ABSTRACT_MOST ? ABSTRACT_MOST : most, zero);
	request->object.name = number_of(from) + ADDRESS_FAMILY_SIZE + 1;
	return true;
}

/*
 * Datagrams: unix_may_send is called by connect and by send alike, for the socket's
 * and the peer's sakes, and does not say which. socket_connect leaves the thread's
 * id here, and socket_sendmsg takes it away. Two threads that mix their calls
 * up can have a connect judged as a send to the same name, which is no more. Where
 * sockets have no storage, a connect is always judged so.
 */
static __always_inline int connecting(struct sock *sk, __u32 thread)
{
	struct net_mark *mark = mark_of(sk, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (mark)
		mark->connecting = thread;
	/* Without memory, the call that could not be told from a send is not begun. */
	return mark || !guard_has_sk_storage ? 0 : -ENOMEM;
}

static __always_inline int sending(struct sock *sk, __u32 thread)
{
	struct net_mark *mark = mark_of(sk, 0);

	if (mark && mark->connecting == thread)
		mark->connecting = 0;
	return 0;
}

#endif
