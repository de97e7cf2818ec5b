// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * SCTP's own ways to addresses: setsockopt with several of them, and a send that
 * connects. Each address in the list is judged by itself.
 */
#include "net.h"

/* include/uapi/linux/sctp.h */
enum {
	OPTION_PEER_PRIMARY = 5, /* which of the local addresses the peer is to prefer */
	OPTION_BINDX_ADD = 100,
	/* What a packet of the peer asks for has a parameter's number (SCTP_PARAM_*), above this.
	 */
	OPTION_MOST = 255,
};

/* Addresses in one call that are looked at; one with more is refused. */
#define SCTP_ADDRESSES 64

struct sctp_walk {
	struct net_request request;
	__u64 at;
	int left;
	int error;
};

/* bpf_loop's callback: one address. Returns 1 at the end. */
static long judge_next(__u32 index, struct sctp_walk *walk)
{
	struct net_request *request = &walk->request;
	__u32 verb = request->verb, hook = request->hook;
	__u16 family = 0;

	if (walk->left <= 0)
		return 1;
	bpf_probe_read_kernel(&family, sizeof(family), (void *)walk->at);
	begin_net(request, verb, hook);
	take_address(request, (void *)walk->at, walk->left);
	if (verb == GUARD_NET_CONNECT)
		take_loopback(request);
	if (index == SCTP_ADDRESSES - 1)
		request->reason = GUARD_REASON_ADDRESS;
	walk->error = judge_socket(request);
	/* sizeof struct sockaddr_in6, struct sockaddr_in */
	walk->at += family == FAMILY_INET6 ? 28 : 16;
	walk->left -= family == FAMILY_INET6 ? 28 : 16;
	return walk->error != 0;
}

SEC("lsm/sctp_bind_connect")
int BPF_PROG(guard_sctp_bind_connect, struct sock *sk, int option, struct sockaddr *addresses,
	     int size, int ret)
{
	struct sctp_walk walk;
	__u32 verb = GUARD_NET_CONNECT;

	if (ret)
		return ret;
	/* Softirq, where the current task is anybody. */
	if (option > OPTION_MOST || option < 0)
		return 0;
	switch (begin(&walk.request.caller, GUARD_SECTION_NET, GUARD_HOOK_SCTP_BIND_CONNECT)) {
	case GATE_PASS:
		return 0;
	case GATE_REFUSE:
		return -EACCES;
	}
	if (is_kernels(sk))
		return 0;
	if (option == OPTION_PEER_PRIMARY || option == OPTION_BINDX_ADD)
		verb = GUARD_NET_BIND;
	begin_net(&walk.request, verb, GUARD_HOOK_SCTP_BIND_CONNECT);
	take_socket(&walk.request, sk);
	walk.at = number_of(addresses);
	walk.left = size;
	walk.error = opaque_zero(walk.request.caller.tables);
	bpf_loop(SCTP_ADDRESSES, judge_next, &walk, 0);
	return hook_result(walk.error);
}
