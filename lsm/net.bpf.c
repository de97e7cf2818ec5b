// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The net gate: operations on sockets, by the socket's family, type and protocol
 * and by internet addresses. Named and abstract UNIX sockets: unix.bpf.c.
 *
 * socket_create: create, for socket and socketpair. socket_bind: bind.
 * socket_listen, socket_accept: listen and accept, by the local address; port 0
 *   where the kernel is yet to choose one; of UNIX sockets, by their kind alone.
 * socket_connect: connect.
 * socket_sendmsg: send, where an address comes with the data (sendto, sendmmsg,
 *   io_uring); connect, where TCP's MSG_FASTOPEN connects. sctp_bind_connect:
 *   SCTP's further addresses, and connections that a send makes.
 * socket_sendmsg, socket_recvmsg: a socket whose connection was not judged
 *   for these policies under this generation (made before the policy, passed, or
 *   inherited) is judged now, once; see judge_use.
 *
 * Families without internet addresses are judged by family, type and protocol
 * alone, for every verb. A connect to AF_UNSPEC takes a connection apart and is
 * allowed.
 *
 * Not covered here: data that is spliced or sent by sendfile on 6.1, where no
 * hook sees it; addresses that an SCTP peer adds by itself.
 */
#include "unix.h"
#include "net_use.h"

struct net_marks_map guard_net_marks SEC(".maps");

/*
 * The low ``digits`` hexadecimal digits of a number as characters, the first in the
 * lowest byte: 32 bits spread to 8 nibbles, one a byte.
 */
static __always_inline __u64 digits_of(__u32 network_order)
{
	__u64 spread = network_order, over;

	spread = (spread | spread << 16) & 0x0000ffff0000ffffull;
	spread = (spread | spread << 8) & 0x00ff00ff00ff00ffull;
	spread = (spread >> 4 & 0x000f000f000f000full) | (spread & 0x000f000f000f000full) << 8;
	/* From ten on, letters: 'a' is 39 beyond what follows '9'. */
	over = (spread + 0x0606060606060606ull) >> 4 & 0x0101010101010101ull;
	return spread + 0x3030303030303030ull + over * ('a' - '9' - 1);
}

/* Characters of the parts of an operation. */
enum {
	HEAD_DIGITS = 7, /* family, type, protocol */
	PORT_DIGITS = 4,
};

__noinline __u32 guard_step_socket(const struct tables *tables, const struct socket_object *object)
{
	__u32 state, number, size;

	if (!tables || !object)
		return 0;
	state = step_slash(tables, tables->root.net);
	number = (__u32)(object->family & 0xff) << 24 | (__u32)(object->type & 0xf) << 20 |
		 (__u32)object->protocol << 4;
	state = guard_step_word(tables, state, digits_of(__builtin_bswap32(number)), HEAD_DIGITS);
	if (object->abstract) {
		state = guard_step_word(tables, state, '@', 1);
		return guard_step_long(tables, state, object->name, object->name_size);
	}
	size = object->address_size;
	if (!size)
		return state;
	number = (__u32)object->port << 16;
	state = guard_step_word(tables, state,
				(digits_of(__builtin_bswap32(number)) & 0xffffffffull) |
					(__u64)(size == 4 ? '4' : '6') << 32,
				PORT_DIGITS + 1);
	state = guard_step_full(tables, state, digits_of(address_word(object, 0)));
	if (size == 4)
		return state;
	state = guard_step_full(tables, state, digits_of(address_word(object, 1)));
	state = guard_step_full(tables, state, digits_of(address_word(object, 2)));
	return guard_step_full(tables, state, digits_of(address_word(object, 3)));
}

/* Sets *request up and leaves the program if there is nobody to judge. */
#define GATE(request, hook)                                           \
	switch (begin(&(request)->caller, GUARD_SECTION_NET, hook)) { \
	case GATE_PASS:                                               \
		return 0;                                             \
	case GATE_REFUSE:                                             \
		return -EACCES;                                       \
	}

/* The protocol that a new socket will have where the caller leaves it to the kernel. */
static __always_inline __u32 protocol_of(__u32 family, __u32 type, __u32 protocol)
{
	if (family == FAMILY_UNIX)
		return 0; /* PF_UNIX is the other way to say it (unix_create) */
	if (family == FAMILY_PACKET)
		return __builtin_bswap16(protocol);
	if (!on_internet(family) || protocol)
		return protocol;
	if (type == TYPE_STREAM)
		return PROTOCOL_TCP;
	if (type == TYPE_DGRAM)
		return PROTOCOL_UDP;
	if (type == TYPE_SEQPACKET)
		return PROTOCOL_SCTP;
	return type == TYPE_DCCP ? PROTOCOL_DCCP : 0;
}

SEC("lsm/socket_create")
int BPF_PROG(guard_socket_create, int family, int type, int protocol, int kernels, int ret)
{
	struct net_request request;
	__u32 zero;

	if (ret)
		return ret;
	if (kernels)
		return 0;
	GATE(&request, GUARD_HOOK_SOCKET_CREATE);
	zero = opaque_zero(request.caller.tables);
	begin_net(&request, GUARD_NET_CREATE, GUARD_HOOK_SOCKET_CREATE);
	type &= TYPE_MASK;
	/* "BSD has AF_UNIX, SOCK_RAW though nothing uses it": unix_create. */
	if (family == FAMILY_UNIX && type == TYPE_RAW)
		type = TYPE_DGRAM;
	request.object.family = unrefined(family, zero);
	request.object.type = unrefined(type, zero);
	request.object.protocol = unrefined(protocol_of(family, type, protocol), zero);
	return hook_result(judge_socket(&request));
}

SEC("lsm/socket_bind")
int BPF_PROG(guard_socket_bind, struct socket *sock, struct sockaddr *address, int size, int ret)
{
	struct net_request request;
	struct sock *sk;
	__u16 protocol = 0;

	if (ret)
		return ret;
	GATE(&request, GUARD_HOOK_SOCKET_BIND);
	sk = sock->sk;
	if (!sk)
		return 0;
	begin_net(&request, GUARD_NET_BIND, GUARD_HOOK_SOCKET_BIND);
	take_socket(&request, sk);
	if (is_canary(&request.caller))
		return hook_result(judge_socket(&request));
	switch (family_of(sk)) {
	case FAMILY_UNIX:
		if (!take_abstract(&request, address, size))
			return 0;
		break;
	case FAMILY_PACKET:
		bpf_probe_read_kernel(&protocol, sizeof(protocol),
				      (void *)address + ADDRESS_FAMILY_SIZE);
		if (size >= ADDRESS_LINK_SIZE && protocol)
			request.object.protocol = __builtin_bswap16(protocol);
		break;
	case FAMILY_INET:
	case FAMILY_INET6:
	case FAMILY_SMC:
		take_address(&request, address, size);
		break;
	}
	return hook_result(judge_socket(&request));
}

/* A listening socket, or one that is to listen. UNIX sockets wait by their kind alone. */
static __always_inline int gate_local(struct socket *sock, const __u32 verb, const __u32 hook)
{
	struct net_request request;
	struct sock *sk;

	GATE(&request, hook);
	sk = sock->sk;
	if (!sk)
		return 0;
	begin_net(&request, verb, hook);
	take_socket(&request, sk);
	take_end(&request, sk, 0);
	return hook_result(judge_socket(&request));
}

SEC("lsm/socket_listen")
int BPF_PROG(guard_socket_listen, struct socket *sock, int backlog, int ret)
{
	return ret ? ret : gate_local(sock, GUARD_NET_LISTEN, GUARD_HOOK_SOCKET_LISTEN);
}

SEC("lsm/socket_accept")
int BPF_PROG(guard_socket_accept, struct socket *sock, struct socket *accepted, int ret)
{
	return ret ? ret : gate_local(sock, GUARD_NET_ACCEPT, GUARD_HOOK_SOCKET_ACCEPT);
}

/* The family that a program wrote into an address. */
static __always_inline __u32 given_family(const void *address, int size)
{
	__u16 family = 0;

	if (size >= ADDRESS_FAMILY_SIZE)
		bpf_probe_read_kernel(&family, sizeof(family), address);
	return family;
}

static __always_inline bool has_addresses(__u32 family)
{
	return on_internet(family) || family == FAMILY_SMC;
}

SEC("lsm/socket_connect")
int BPF_PROG(guard_socket_connect, struct socket *sock, struct sockaddr *address, int size, int ret)
{
	struct net_request request;
	struct sock *sk;
	__u32 family;
	int error;

	if (ret)
		return ret;
	GATE(&request, GUARD_HOOK_SOCKET_CONNECT);
	sk = sock->sk;
	if (!sk)
		return 0;
	begin_net(&request, GUARD_NET_CONNECT, GUARD_HOOK_SOCKET_CONNECT);
	take_socket(&request, sk);
	if (is_canary(&request.caller))
		return hook_result(judge_socket(&request));
	family = family_of(sk);
	if (family == FAMILY_UNIX)
		return connecting(sk, bpf_get_current_pid_tgid());
	if (given_family(address, size) == FAMILY_UNSPEC)
		return 0;
	if (has_addresses(family)) {
		take_address(&request, address, size);
		take_loopback(&request);
	}
	error = judge_socket(&request);
	if (!error)
		remember_outbound(sk);
	return hook_result(error);
}

/* What an address that comes with the data does. */
enum {
	ADDRESS_NONE = 0, /* nothing: the kernel does not look at it */
	ADDRESS_SENDS = 1,
	ADDRESS_CONNECTS = 2,
};

static __always_inline int use_of_address(const struct net_request *request, struct msghdr *msg)
{
	const struct socket_object *object = &request->object;
	__u32 type = object->type;

	if (!msg->msg_name)
		return ADDRESS_NONE;
	if (!has_addresses(object->family))
		return ADDRESS_SENDS;
	if ((type == TYPE_STREAM && object->protocol != PROTOCOL_SCTP) || type == TYPE_DCCP)
		return msg->msg_flags & MESSAGE_FASTOPEN ? ADDRESS_CONNECTS : ADDRESS_NONE;
	/* On IPv6 datagram sockets, none: udpv6_sendmsg. Raw ones take it for IPv6. */
	if (object->family == FAMILY_INET6 && type != TYPE_RAW &&
	    given_family(msg->msg_name, msg->msg_namelen) == FAMILY_UNSPEC)
		return ADDRESS_NONE;
	return ADDRESS_SENDS;
}

SEC("lsm/socket_sendmsg")
int BPF_PROG(guard_socket_sendmsg, struct socket *sock, struct msghdr *msg, int size, int ret)
{
	struct net_request request;
	struct sock *sk;
	int use, error;

	if (ret)
		return ret;
	GATE(&request, GUARD_HOOK_SOCKET_SENDMSG);
	sk = sock->sk;
	if (!sk || is_kernels(sk))
		return 0;
	begin_net(&request, GUARD_NET_SEND, GUARD_HOOK_SOCKET_SENDMSG);
	take_socket(&request, sk);
	if (is_canary(&request.caller))
		return hook_result(judge_socket(&request));
	if (family_of(sk) == FAMILY_UNIX)
		return sending(sk, bpf_get_current_pid_tgid());
	use = use_of_address(&request, msg);
	if (use == ADDRESS_NONE)
		return hook_result(judge_use(&request, sk));
	if (has_addresses(request.object.family)) {
		take_address(&request, msg->msg_name, msg->msg_namelen);
		take_loopback(&request);
	}
	if (use == ADDRESS_CONNECTS)
		request.verb = GUARD_NET_CONNECT;
	error = judge_socket(&request);
	if (!error && use == ADDRESS_CONNECTS)
		remember_outbound(sk);
	return hook_result(error);
}

SEC("lsm/socket_recvmsg")
int BPF_PROG(guard_socket_recvmsg, struct socket *sock, struct msghdr *msg, int size, int flags,
	     int ret)
{
	struct net_request request;
	struct sock *sk;

	if (ret)
		return ret;
	GATE(&request, GUARD_HOOK_SOCKET_RECVMSG);
	sk = sock->sk;
	if (!sk || is_kernels(sk))
		return 0;
	begin_net(&request, GUARD_NET_CONNECT, GUARD_HOOK_SOCKET_RECVMSG);
	take_socket(&request, sk);
	if (is_canary(&request.caller))
		return hook_result(judge_socket(&request));
	if (family_of(sk) == FAMILY_UNIX)
		return 0;
	return hook_result(judge_use(&request, sk));
}
