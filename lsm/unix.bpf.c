// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The net gate for UNIX sockets, by path and by abstract name.
 *
 * unix_stream_connect: connect (stream, seqpacket). unix_may_send: connect and
 *   send (datagrams), judged again at every send, so that a socket connected before
 *   the policy or by others is too. path_mknod: bind to a path, where the
 *   socket's node is made; mknod of such a node needs the same verb.
 * bind to an abstract name: socket_bind (net.bpf.c). listen and accept are judged
 * without the name.
 *
 * A socket without a name is the end of a pair, or answers whom it was connected
 * to: sending to it has no address to be judged by.
 */
#include "unix.h"

SEC("lsm/unix_stream_connect")
int BPF_PROG(guard_unix_stream_connect, struct sock *sk, struct sock *other, struct sock *accepted,
	     int ret)
{
	union unix_request request;

	if (ret)
		return ret;
	switch (begin(&request.name.caller, GUARD_SECTION_NET, GUARD_HOOK_UNIX_STREAM_CONNECT)) {
	case GATE_PASS:
		return 0;
	case GATE_REFUSE:
		return -EACCES;
	}
	return hook_result(
		judge_unix(&request, other, GUARD_NET_CONNECT, GUARD_HOOK_UNIX_STREAM_CONNECT));
}

SEC("lsm/unix_may_send")
int BPF_PROG(guard_unix_may_send, struct socket *sock, struct socket *other, int ret)
{
	__u32 thread = bpf_get_current_pid_tgid(), verb = GUARD_NET_SEND, zero;
	struct net_mark *mark = (void *)0;
	struct unix_sock *peer;
	union unix_request request;
	struct sock *sk;

	if (ret)
		return ret;
	switch (begin(&request.name.caller, GUARD_SECTION_NET, GUARD_HOOK_UNIX_MAY_SEND)) {
	case GATE_PASS:
		return 0;
	case GATE_REFUSE:
		return -EACCES;
	}
	zero = opaque_zero(request.name.caller.tables);
	sk = sock->sk;
	if (sk)
		mark = mark_of(sk, 0);
	if (mark && mark->connecting == thread)
		verb = GUARD_NET_CONNECT;
	sk = other->sk;
	if (!sk)
		return 0;
	peer = bpf_skc_to_unix_sock(sk);
	if (!is_canary(&request.name.caller) && (!peer || !peer->addr))
		return 0;
	return hook_result(
		judge_unix(&request, sk, unrefined(verb, zero), GUARD_HOOK_UNIX_MAY_SEND));
}

SEC("lsm/path_mknod")
int BPF_PROG(guard_unix_bind, const struct path *directory, struct dentry *dentry,
	     unsigned short mode, unsigned int device, int ret)
{
	union unix_request request;

	if (ret)
		return ret;
	if ((mode & S_IFMT) != S_IFSOCK)
		return 0;
	switch (begin(&request.name.caller, GUARD_SECTION_NET, GUARD_HOOK_PATH_MKNOD)) {
	case GATE_PASS:
		return 0;
	case GATE_REFUSE:
		return -EACCES;
	}
	return hook_result(
		judge_unix_path(&request.path, dentry, GUARD_PATH_BIND, GUARD_HOOK_PATH_MKNOD));
}
