/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Everything that crosses the border between the ingress filter and Python.
 *
 * The only hand-written definition: guard/wire/ingress.py is generated from the
 * BTF of these types. Rules of the file: fixed-width integers, no pointers, no
 * bit fields, no implicit padding; constants are enums, because macros do not
 * reach BTF; numbers are never used again for another meaning.
 */
#ifndef GUARD_INGRESS_WIRE_H
#define GUARD_INGRESS_WIRE_H

/* Changes whenever a type below changes its layout or meaning. */
enum ingress_abi {
	INGRESS_ABI_VERSION = 2,
};

enum ingress_limit {
	INGRESS_LIMIT_SUMMARIES = 4,	      /* summary words: 64 * 64 deciding rules each */
	INGRESS_LIMIT_WORDS = 256,	      /* words of deciding rules in a row */
	INGRESS_LIMIT_OBSERVERS = 64,	      /* audit and mirror rules: one word */
	INGRESS_LIMIT_RATES = 64,	      /* limit rules: one word */
	INGRESS_LIMIT_SHAPES = 3,	      /* rows besides source, destination and service */
	INGRESS_LIMIT_EXTENSIONS = 6,	      /* IPv6 extension headers walked */
	INGRESS_LIMIT_TAGS = 2,		      /* VLAN tags read */
	INGRESS_LIMIT_SLOTS = 32768,	      /* counters: reasons first, then rules */
	INGRESS_LIMIT_FIRST_RULE_SLOT = 64,   /* slots below are enum ingress_reason */
	INGRESS_LIMIT_INTERFACES = 256,	      /* slots of the interface table */
	INGRESS_LIMIT_TIMED_SETS = 6,	      /* sets with TTL entries: a row for each subset */
	INGRESS_LIMIT_PROBES = 16,	      /* set and prefix length pairs with TTL entries */
	INGRESS_LIMIT_TIMED_BUCKETS = 65536,  /* of four TTL entries each */
	INGRESS_LIMIT_FLOW_BUCKETS = 16384,   /* of eight flows each */
	INGRESS_LIMIT_SOURCE_BUCKETS = 65536, /* of two sources' rates each */
	INGRESS_LIMIT_EVENTS_PER_TICK = 8,    /* records of one slot on one CPU in a jiffy */
	INGRESS_LIMIT_PACKED = 4,	      /* words in a packed row */
	INGRESS_LIMIT_ETHERTYPES = 16,
	INGRESS_LIMIT_FRESH = 32,   /* interfaces that a policy on trial filters first */
	INGRESS_LIMIT_TOP = 16384,  /* sources that are counted while somebody looks */
	INGRESS_LIMIT_TARGETS = 64, /* interfaces, and CPUs, of redirect and mirror rules */
	INGRESS_LIMIT_HEAD = 128,   /* bytes of the frame in an event */
};

/*
 * Why a packet got its verdict. A rule's own number is its counter slot; the
 * rest count under the reason itself.
 */
enum ingress_reason {
	INGRESS_REASON_RULE = 0,	   /* the rule in ingress_event.slot */
	INGRESS_REASON_DEFAULT = 1,	   /* no rule decided */
	INGRESS_REASON_ESTABLISHED = 2,	   /* return traffic */
	INGRESS_REASON_NEIGHBOUR = 3,	   /* IPv6 neighbour discovery, listener messages */
	INGRESS_REASON_ETHERTYPE = 4,	   /* not IP, and listed */
	INGRESS_REASON_NOT_IP = 5,	   /* not IP, and not listed */
	INGRESS_REASON_TRUNCATED = 6,	   /* a header or the packet is cut short */
	INGRESS_REASON_MALFORMED = 7,	   /* a header contradicts itself */
	INGRESS_REASON_TAGS = 8,	   /* more VLAN tags than are read */
	INGRESS_REASON_EXTENSIONS = 9,	   /* more IPv6 extension headers than are walked */
	INGRESS_REASON_TINY_FRAGMENT = 10, /* a fragment that splits the transport header */
	INGRESS_REASON_FRAGMENT = 11,	   /* a later fragment, where all are dropped */
	INGRESS_REASON_TRACKED = 12,	   /* a later fragment whose first was let in */
	INGRESS_REASON_TUNNEL = 13,	   /* carries packets unseen, and no rule names it */
	INGRESS_REASON_RATE = 14,	   /* over a rule's limit; slot is the rule's */
	INGRESS_REASON_SYN_COOKIE = 15,	   /* answered by a SYN cookie */
	INGRESS_REASON_NO_TABLES = 16,	   /* guard's fault: no generation in its slot */
	INGRESS_REASON_NO_TARGET = 17,	   /* guard's fault: a redirect has nowhere to go */
	INGRESS_REASON_NO_REPLY = 18,	   /* a rejection that must not or cannot be answered */
	INGRESS_REASON_EMPTY = 19,	   /* a policy with nothing to decide */
	INGRESS_REASON_UNCONFIRMED = 20,   /* a trial is over where nothing was filtered before */
	INGRESS_REASON_COUNT = 21,
};

enum ingress_flag {
	INGRESS_FLAG_EMPTY = 1,	   /* no rules, default allow: nothing is parsed */
	INGRESS_FLAG_DROP = 2,	   /* the default is to drop */
	INGRESS_FLAG_AUDIT = 4,	   /* decide and record, but let everything in */
	INGRESS_FLAG_NEXT = 8,	   /* what is let in goes on to the next program */
	INGRESS_FLAG_SOURCE4 = 16, /* rules tell IPv4 sources apart */
	INGRESS_FLAG_SOURCE6 = 32,
	INGRESS_FLAG_DESTINATION4 = 64,
	INGRESS_FLAG_DESTINATION6 = 128,
	INGRESS_FLAG_SERVICE = 256,	 /* ... protocols, destination ports, ICMP types */
	INGRESS_FLAG_OBSERVERS = 512,	 /* there are audit or mirror rules */
	INGRESS_FLAG_RATES = 1024,	 /* there are limit rules */
	INGRESS_FLAG_TCP_SOCKETS = 2048, /* return traffic: the kernel's TCP sockets */
	INGRESS_FLAG_UDP_FLOWS = 4096,	 /* ... datagrams seen to leave */
	INGRESS_FLAG_ICMP = 8192,	 /* ... echo replies, and errors about all kinds */
	INGRESS_FLAG_TCP_FLOWS = 16384,	 /* ... TCP seen to leave */
	INGRESS_FLAG_NEIGHBOURS = 32768,
	INGRESS_FLAG_DROP_FRAGMENTS = 65536,
	INGRESS_FLAG_MATCH_UNREADABLE = 131072,
	INGRESS_FLAG_SYN_COOKIES = 262144,
	INGRESS_FLAG_TIMED = 524288, /* sets take TTL entries */
	INGRESS_FLAG_NAMED_TUNNELS = 1048576,
	INGRESS_FLAG_WIDE = 2097152,  /* there are shapes or TTL sets */
	INGRESS_FLAG_TRIAL = 4194304, /* ingress_control has a deadline for this generation */
};

/* The fields that a shape row is made of, in the order of ingress_root.field. */
enum ingress_column {
	INGRESS_COLUMN_SOURCE_PORT = 0, /* 65536 ports, then enum ingress_unread */
	INGRESS_COLUMN_TCP_FLAGS = 1,	/* 256 values, then enum ingress_unread */
	INGRESS_COLUMN_FRAGMENT = 2,	/* enum ingress_fragment */
	INGRESS_COLUMN_VLAN = 3,	/* 4096 ids */
	INGRESS_COLUMN_LENGTH = 4,	/* 65536 lengths */
	INGRESS_COLUMN_INTERFACE = 5,	/* numbers from the interface table */
	INGRESS_COLUMN_COUNT = 6,
};

/* Positions after a field's values. */
enum ingress_unread {
	INGRESS_UNREAD_UNREADABLE = 0, /* denials match, others do not */
	INGRESS_UNREAD_TRACKED = 1,    /* judged with the first fragment: nobody matches */
	INGRESS_UNREAD_ABSENT = 2,     /* this protocol has no such field: nobody matches */
	INGRESS_UNREAD_COUNT = 3,
};

enum ingress_fragment {
	INGRESS_FRAGMENT_WHOLE = 0,
	INGRESS_FRAGMENT_FIRST = 1,
	INGRESS_FRAGMENT_LATER = 2,
};

/* What a protocol's service position is made of. */
enum ingress_service_kind {
	INGRESS_SERVICE_PLAIN = 0, /* one position */
	INGRESS_SERVICE_PORT = 1,  /* by destination port */
	INGRESS_SERVICE_TYPE = 2,  /* by ICMP type */
};

/* One protocol in the service table. After its span follow enum ingress_unread. */
struct ingress_service {
	__u32 base;   /* first position */
	__u16 kind;   /* enum ingress_service_kind */
	__u16 tunnel; /* carries packets unseen */
};

/*
 * A sorted list of interval starts with a class each. Offsets are bytes in the
 * generation. v4: cell = address >> 16, keys are u16. v6: cell = (high half -
 * base) >> shift, cut to cells - 1; keys are u64.
 */
struct ingress_intervals {
	__u64 base;  /* v6: the high half where cell 0 begins */
	__u32 shift; /* v6 */
	__u32 cells; /* v6 */
	__u32 root;  /* u32 per cell, and one more: index of its first key */
	__u32 keys;
	__u32 classes;	    /* of interval i, which ends before key i */
	__u32 width;	    /* bytes of a class: 1 or 2, v6: 4; 0: the class is i & 1 */
	__u32 rows;	    /* class 0's row */
	__u32 stride;	    /* bytes of one of them */
	__u32 packed;	    /* they are packed */
	__u32 fine;	    /* v6: struct ingress_fine of classes with INGRESS_CLASS_FINE */
	__u32 fine_keys;    /* v6: u64 low halves */
	__u32 fine_classes; /* v6: u16 */
};

/* The first word of a source's row; else the deciding rule's bit, from 1: a denial by source. */
enum ingress_final {
	INGRESS_FINAL_OPEN = 0,	   /* the other rows have a say */
	INGRESS_FINAL_NOBODY = -1, /* no deciding or limiting rule matches this source */
};

enum ingress_class {
	INGRESS_CLASS_FINE = 1073741824, /* v6: the low half decides; the rest is an index */
};

/* One /64 that longer prefixes divide. */
struct ingress_fine {
	__u32 first; /* its keys in fine_keys; classes begin at first + index */
	__u32 count;
};

/* A table from a field's positions to classes, and the class's stride in its shape. */
struct ingress_field_table {
	__u32 table;  /* u16 per position */
	__u32 stride; /* 0: not used */
};

/* A shape: the sum of its fields' class * stride, looked up for a row. */
struct ingress_shape {
	__u32 table; /* u16 per cell */
	__u32 rows;
};

/* A limit rule. Times are 2^-16 jiffies. */
struct ingress_rate {
	__u64 multiplier; /* cost of one unit, times 2^16 */
	__u64 tolerance;  /* how far ahead of now a bucket may be */
	__u32 slot;
	__u16 by_source;
	__u16 bytes;
};

/* A deciding or observing rule, by its bit. */
struct ingress_rule {
	__u32 slot;   /* its counter */
	__u32 sample; /* record one drop (or match, of audit rules) in so many; 0: none */
	__u16 action; /* enum ingress_action */
	__u16 target; /* redirect and mirror: index in the target map */
	__u16 to_cpu; /* redirect: a CPU, not an interface */
	__u16 reserved;
};

enum ingress_action {
	INGRESS_ACTION_DENY = 0,
	INGRESS_ACTION_REJECT = 1,
	INGRESS_ACTION_REDIRECT = 2,
	INGRESS_ACTION_ALLOW = 3,
	INGRESS_ACTION_LIMIT = 4,
	INGRESS_ACTION_AUDIT = 5,
	INGRESS_ACTION_MIRROR = 6,
};

/* An interface by a perfect hash of its index. */
struct ingress_interface {
	__u32 index;
	__u32 number; /* position of INGRESS_COLUMN_INTERFACE; 0 is any other */
};

/*
 * One generation, never written after it was switched in; tables follow. A row
 * is a word that may say the whole answer (enum ingress_final), `summaries`
 * words with a bit for each nonzero word of deciding rules, one word of
 * observers, one of limits, then `words` words of deciding rules. A packed row
 * (of an address) has, in the place of the last, one word with the numbers of
 * INGRESS_LIMIT_PACKED words, 16 bits each, and those words: most addresses
 * are in a few rules, and ten thousand long rows would fill the caches.
 */
struct ingress_root {
	__u32 abi;
	__u32 generation;
	__u32 flags; /* enum ingress_flag */
	__u32 summaries;
	__u32 words;
	__u32 stride;	      /* bytes of a row */
	__u32 shapes;	      /* rows besides the three */
	__u32 default_sample; /* record one default drop in so many */
	__u32 reason_sample;  /* and of the other reasons' */
	__u32 service;	      /* u16 per position */
	__u32 service_rows;
	__u32 service_unknown;	    /* position where the protocol itself cannot be read */
	__u32 rules;		    /* struct ingress_rule per bit: 64 observers, then words * 64 */
	__u32 timed_rows;	    /* a row for each subset of the sets with TTL entries */
	__u32 interface_multiplier; /* slot = index * multiplier >> 24, as u32 */
	__u32 ones;		    /* a row of ones */
	__u64 zero;		    /* always 0, which the verifier does not know */
	__u16 ethertypes[INGRESS_LIMIT_ETHERTYPES]; /* host order; 0 ends */
	struct ingress_intervals source4;
	struct ingress_intervals source6;
	struct ingress_intervals destination4;
	struct ingress_intervals destination6;
	struct ingress_field_table field[3 * INGRESS_COLUMN_COUNT]; /* of each shape */
	struct ingress_shape shape[4];				    /* the last is unused */
	struct ingress_rate rate[INGRESS_LIMIT_RATES];
	struct ingress_service services[256];
	struct ingress_interface interfaces[INGRESS_LIMIT_INTERFACES];
};

/* One CPU's counts of one slot. packets is what the slot decided (a limit: let in). */
struct ingress_count {
	__u64 packets;
	__u64 bytes;
	__u64 over_packets; /* refused by a limit */
	__u64 over_bytes;
	__u64 recorded;	  /* events in the ring */
	__u64 suppressed; /* events not sampled: recorded + suppressed + lost = worth it */
	__u64 lost;	  /* events that the ring had no room for */
	/*
	 * 4 bits: events in the jiffy of the last one; 12 bits of that jiffy (the same
	 * again 4 096 later at worst suppresses what it need not, and counts it); 48
	 * bits: suppressed since the last event.
	 */
	__u64 turn;
};

/* A TTL entry. The tag is a keyed hash of set, family, length and address. */
struct ingress_timed {
	__u64 tag;
	__u64 expiry; /* jiffies; 0 is an empty place */
};

struct ingress_timed_bucket {
	struct ingress_timed way[4];
};

/* One set and prefix length that has TTL entries. */
struct ingress_probe {
	__u64 mask_high;
	__u64 mask_low;
	__u64 salt;   /* part of the tag: set, family, length */
	__u32 family; /* 4, 6; 0 ends the list */
	__u32 set;    /* bit of the subset */
};

struct ingress_probes {
	struct ingress_probe probe[INGRESS_LIMIT_PROBES];
};

struct ingress_source_bucket {
	__u64 way[2]; /* tag 16, time 48 */
};

struct ingress_flow_bucket {
	__u64 way[8]; /* fingerprint 48, seconds 16 */
};

enum ingress_verdict {
	INGRESS_VERDICT_ABORTED = 0, /* as enum xdp_action */
	INGRESS_VERDICT_DROP = 1,
	INGRESS_VERDICT_PASS = 2,
	INGRESS_VERDICT_TX = 3,
	INGRESS_VERDICT_REDIRECT = 4,
};

/* The ends of the flow in the same place of the flow table, for people; whoever reads checks. */
struct ingress_ends {
	__u64 local[2]; /* high half, low half; IPv4 in the low half; host order */
	__u64 remote[2];
	__u16 local_port; /* ICMP: the echo's id */
	__u16 remote_port;
	__u32 kind; /* protocol; bit 9: sent to a group or to all, who have no ends here */
};

struct ingress_ends_bucket {
	struct ingress_ends way[8];
};

/* What may change while a generation is in force. */
struct ingress_control {
	__u64 deadline; /* CLOCK_BOOTTIME; 0: nothing is on trial */
	__u64 unnamed;	/* refused packets of sources that ingress_top had no room for */
	__u32 top;	/* refused packets are counted by source: somebody looks */
	__u32 reserved;
	__u32 fresh[INGRESS_LIMIT_FRESH]; /* interfaces that were not filtered before the trial */
};

/* Whose refused packets are counted, by whom. */
struct ingress_top_key {
	__u64 source[2];
	__u32 slot;   /* counter slot of the rule, or the reason */
	__u32 family; /* 4, 6 */
};

struct ingress_top_count {
	__u64 packets;
	__u64 bytes;
};

/* What the loader sets before load; the verifier sees it as constant. */
struct ingress_constants {
	__u64 seed[2];	    /* random: nobody outside can aim at a bucket */
	__u32 table_mask;   /* bytes of a generation without its slack, less one */
	__u32 flow_timeout; /* in units of 2^8 jiffies */
	__u32 fragment_timeout;
	__u32 reserved;
};

/* What was decided about one packet, and what it counts under; first in the scratch map. */
struct ingress_decision {
	__u32 slot;
	__u32 reason;  /* enum ingress_reason */
	__u32 verdict; /* enum ingress_verdict */
	__u32 sample;  /* record one in so many; 0: none */
	__u32 generation;
	__u32 audit; /* the policy only audits: not enforced */
};

/* One record in the ring. */
struct ingress_event {
	__u64 boot_ns;	  /* CLOCK_BOOTTIME */
	__u64 sequence;	  /* this CPU's events before this one, lost ones included */
	__u64 suppressed; /* not recorded on this CPU since the slot's event before */
	__u64 source[2];  /* high half, low half; IPv4 in the low half; host order */
	__u64 destination[2];
	__u32 generation;
	__u32 slot; /* counter slot of the rule, or the reason */
	__u32 ifindex;
	__u32 cpu;
	__u32 length; /* bytes of the frame */
	__u16 source_port;
	__u16 destination_port; /* ICMP: type */
	__u16 vlan;
	__u8 verdict;  /* enum ingress_verdict: what was decided */
	__u8 enforced; /* 0: let in, the policy only audits */
	__u8 reason;   /* enum ingress_reason */
	__u8 family;   /* 4, 6, 0: not IP */
	__u8 protocol;
	__u8 tcp_flags;
	__u8 fragment;	 /* enum ingress_fragment */
	__u8 readable;	 /* bit 0: addresses, bit 1: protocol, bit 2: ports or type */
	__u16 head_size; /* bytes of the frame in head */
	__u8 reserved[4];
	__u8 head[INGRESS_LIMIT_HEAD];
};

#endif
