/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel's structures for sockets, as far as the net gate reads them: see kernel.h. */
#ifndef GUARD_SOCKETS_H
#define GUARD_SOCKETS_H

#include "kernel.h"

struct sock_common {
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned short skc_num;	  /* local port, host order */
	unsigned short skc_dport; /* network order */
	unsigned int skc_daddr;
	unsigned int skc_rcv_saddr;
	struct in6_addr {
		unsigned char none;
	} skc_v6_daddr, skc_v6_rcv_saddr;
} KERNEL_TYPE;

struct sock {
	struct sock_common __sk_common;
	unsigned char sk_padding : 1, sk_kern_sock : 1, sk_no_check_tx : 1, sk_no_check_rx : 1,
		sk_userlocks : 4;
	unsigned short sk_type;
	unsigned short sk_protocol;
	unsigned int sk_max_ack_backlog;
} KERNEL_TYPE;

struct socket {
	struct sock *sk;
} KERNEL_TYPE;

struct msghdr {
	void *msg_name;
	int msg_namelen;
	unsigned int msg_flags;
} KERNEL_TYPE;

struct sockaddr;

struct sockaddr_un {
	unsigned short sun_family;
} KERNEL_TYPE;

struct unix_address {
	int len;
	struct sockaddr_un name[0];
} KERNEL_TYPE;

struct unix_sock {
	struct unix_address *addr;
	struct path path;
} KERNEL_TYPE;

/* include/linux/socket.h, uapi/linux/in.h, linux/net.h; the same on all architectures but MIPS. */
enum {
	FAMILY_UNSPEC = 0,
	FAMILY_UNIX = 1,
	FAMILY_INET = 2,
	FAMILY_INET6 = 10,
	FAMILY_NETLINK = 16,
	FAMILY_PACKET = 17,
	FAMILY_SMC = 43,
	TYPE_STREAM = 1,
	TYPE_DGRAM = 2,
	TYPE_RAW = 3,
	TYPE_SEQPACKET = 5,
	TYPE_DCCP = 6,
	TYPE_MASK = 0xf,
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	PROTOCOL_DCCP = 33,
	PROTOCOL_SCTP = 132,
	PROTOCOL_SMC = 256, /* 6.11 and later */
	MESSAGE_FASTOPEN = 0x20000000,
	STATE_ESTABLISHED = 1, /* include/net/tcp_states.h */
	STATE_CLOSE = 7,
	LOCK_BINDPORT = 8, /* SOCK_BINDPORT_LOCK, include/net/sock.h */
};

/* Bytes before a socket address's own, and those of the addresses that it may be. */
enum {
	ADDRESS_FAMILY_SIZE = 2,
	ADDRESS_INET_SIZE = 16,	 /* struct sockaddr_in */
	ADDRESS_INET6_SIZE = 24, /* SIN6_LEN_RFC2133: without the scope */
	ADDRESS_LINK_SIZE = 4,	 /* struct sockaddr_ll, to its protocol */
	ADDRESS_UNIX_MOST = 110, /* struct sockaddr_un */
};

#endif
