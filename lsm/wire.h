/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Everything that crosses the border between the kernel programs and Python.
 *
 * This is the only hand-written definition: guard/wire/layout.py is generated
 * from the BTF of these types. Rules of the file: fixed-width integers, no
 * pointers, no bit fields, no implicit padding; constants are enums, because
 * macros do not reach BTF; numbers are never used again for another meaning.
 */
#ifndef GUARD_WIRE_H
#define GUARD_WIRE_H

#include "wire_names.h"

/* Changes whenever a type below changes its layout or meaning. */
enum guard_abi {
	GUARD_ABI_VERSION = 3,
};

enum guard_limit {
	GUARD_LIMIT_POLICIES = 64, /* bits in a mask */
	GUARD_LIMIT_GROUPS = 4,	   /* automata that one open may step */
	GUARD_LIMIT_VERBS = 22,	   /* verbs in a row */
	GUARD_LIMIT_SECTIONS = 4,
	GUARD_LIMIT_KERNEL_OPS = 96,	 /* capabilities to 63, then the other operations */
	GUARD_LIMIT_DEVICE_SLOTS = 1024, /* slots of the device hash table */
	GUARD_LIMIT_DEVICES = 512,	 /* used slots: half, so probes stay short */
	GUARD_LIMIT_DEVICE_PROBES = 4,	 /* slots looked at before a device is foreign */
	GUARD_LIMIT_ID_SLOTS = 256,	/* slots of the hash table of users and groups */
	GUARD_LIMIT_IDS = 128,		/* used slots */
	GUARD_LIMIT_ID_PROBES = 4,	/* slots looked at before an id is nobody's */
	GUARD_LIMIT_CONTENTS = 64,	 /* hashes of executables: one a policy, or a few of some */
	GUARD_LIMIT_DIGEST = 32,	 /* bytes of a SHA-256 */
	GUARD_LIMIT_DEPTH = 256,	 /* components; a longer walk is a latency attack */
	GUARD_LIMIT_COMM = 16,		 /* TASK_COMM_LEN, include/linux/sched.h */
	GUARD_LIMIT_PATHS_SHORT = 512,	 /* bytes of both paths in a short event */
	GUARD_LIMIT_PATHS_LONG = 8192,	 /* in a long one: PATH_MAX twice */
};

/* A policy's sections, each gated or not, each with its own default. */
enum guard_section {
	GUARD_SECTION_FILE = 0,
	GUARD_SECTION_EXEC = 1,
	GUARD_SECTION_NET = 2,
	GUARD_SECTION_KERNEL = 3,
};

/*
 * Verbs on objects that have a path. The words of policies and records are these
 * names in lower case. Those up to MKSOCK belong to the file section, EXEC and
 * MAP to the exec section, the others to the net section.
 */
enum guard_path_verb {
	GUARD_PATH_READ = 0,	 /* open for reading: a file's contents */
	GUARD_PATH_WRITE = 1,	 /* open for writing, truncate by any route */
	GUARD_PATH_LIST = 2,	 /* open a directory: its entries' names */
	GUARD_PATH_APPEND = 3,	 /* open for writing with O_APPEND; a write rule has it too */
	GUARD_PATH_CREATE = 4,	 /* a new name: file, directory, symlink, link, rename's target */
	GUARD_PATH_DELETE = 5,	 /* unlink or rmdir, or be replaced by a rename */
	GUARD_PATH_RENAME = 6,	 /* lose this name to a rename */
	GUARD_PATH_LINK = 7,	 /* be given a further name */
	GUARD_PATH_SETATTR = 8,	 /* mode, owner, times, extended attributes, ACLs */
	GUARD_PATH_LOCK = 9,	 /* flock, fcntl locks, leases */
	GUARD_PATH_IOCTL = 10,	 /* ioctl on a device node */
	GUARD_PATH_MKDEV = 11,	 /* make a block or character device node */
	GUARD_PATH_MKFIFO = 12,	 /* make a named pipe */
	GUARD_PATH_MKSOCK = 13,	 /* make a socket's node by mknod or bind */
	GUARD_PATH_EXEC = 14,	 /* execve: the program, its interpreter, a script */
	GUARD_PATH_MAP = 15,	 /* map with PROT_EXEC, or make a mapping executable */
	GUARD_PATH_BIND = 16,	 /* bind a named UNIX socket */
	GUARD_PATH_CONNECT = 17, /* connect to a named UNIX socket */
	GUARD_PATH_SEND = 18,	 /* send a datagram to a named UNIX socket */
};

/*
 * Verbs on sockets, by the same rule. Where a UNIX socket's path is judged, the
 * verb is the one of the same number above.
 */
enum guard_net_verb {
	GUARD_NET_BIND = 16,
	GUARD_NET_CONNECT = 17, /* connect, and what connects without it: TCP fast open */
	GUARD_NET_SEND = 18,	/* a datagram to an address given with it */
	GUARD_NET_LISTEN = 19,
	GUARD_NET_ACCEPT = 20,
	GUARD_NET_CREATE = 21, /* socket, socketpair */
};

/* Why a decision was what it was, where it was not plainly the policy. */
enum guard_reason {
	GUARD_REASON_POLICY = 0,       /* a rule or a section's default */
	GUARD_REASON_TOO_DEEP = 1,     /* more components than GUARD_LIMIT_DEPTH */
	GUARD_REASON_RENAME_RACE = 2,  /* renames never paused during the walk */
	GUARD_REASON_NO_TABLES = 3,    /* no generation is in its slot */
	GUARD_REASON_STACKED = 4,      /* a foreign stacking file system hides the object */
	GUARD_REASON_CANARY = 5,       /* guard testing itself */
	GUARD_REASON_DISCONNECTED = 6, /* known by its inode alone: it has no path */
	GUARD_REASON_ANONYMOUS = 7,  /* no file stands behind it: memfd, or its last name is gone */
	GUARD_REASON_ADDRESS = 8,    /* an address that the socket's family does not have */
	GUARD_REASON_WIDENS = 11,    /* a link's new name would allow what its old one does not */
	GUARD_REASON_SUBTREE = 12,   /* rules are about what is below a directory to be renamed */
	GUARD_REASON_CONTENTS = 13,  /* a subject's executable with other contents than its sha256 */
};

enum guard_task_flag {
	GUARD_TASK_EXEMPT = 1, /* guard's own process: host-wide policies pass it by */
	GUARD_TASK_CANARY = 2, /* deny if the object's class is canary_class */
	GUARD_TASK_CANARY_CONTENTS = 4, /* with CANARY: deny an exec if its file can be hashed */
};

enum guard_event_flag {
	GUARD_EVENT_PATH_CUT = 1, /* the components nearest the root are missing */
	GUARD_EVENT_EXE_CUT = 2,
	GUARD_EVENT_FOREIGN = 4,     /* the object's device is not in the table */
	GUARD_EVENT_NO_EXE = 8,	     /* a kernel thread */
	GUARD_EVENT_UNLINKED = 16,   /* the object has no name any more (link count 0) */
	GUARD_EVENT_NET_OBJECT = 32, /* verbs, family, type, protocol and address are a socket's */
	GUARD_EVENT_ABSTRACT = 64,   /* the path is an abstract UNIX socket's name */
	GUARD_EVENT_ANY_PORT = 128,  /* the operation has no port or address yet */
	GUARD_EVENT_SECOND_CUT = 256,
};

/* A state word: byte offset of the state's row of cells in tables.data, plus: */
enum guard_state {
	GUARD_STATE_FINAL = 1, /* the class is the same for everything below */
};

/* The first columns of a state's row; byte classes follow from _FIRST on. */
enum guard_column {
	GUARD_COLUMN_ROW = 0,	/* offset of the class's struct guard_row in data */
	GUARD_COLUMN_CLASS = 1, /* the class's id, for the record */
	GUARD_COLUMN_SLASH = 2, /* next state after '/' */
	GUARD_COLUMN_FIRST = 3, /* next state after byte class 0, 1, ... */
};

/* One verb of one class: a bit per policy. */
struct guard_verb_row {
	__u64 allow;	   /* an allow rule of the policy matches */
	__u64 deny;	   /* a deny rule matches; beats allow */
	__u64 audit;	   /* a matching rule wants a record even when allowed */
	__u64 kill;	   /* a matching deny rule ends the process */
	__u64 other_errno; /* a matching deny rule wants the errno that is not the section's */
};

struct guard_row {
	struct guard_verb_row verb[GUARD_LIMIT_VERBS];
};

/* Where the automata start for objects on one mounted device. */
struct guard_device {
	__u32 device;  /* kernel's dev_t: major << 20 | minor; 0 is an empty slot */
	__u32 subject; /* start state of the automaton over executables */
	__u32 start[GUARD_LIMIT_GROUPS]; /* start state of each file automaton */
	__u32 reserved[2];
};

enum guard_id_kind {
	GUARD_ID_NONE = 0,	/* an empty slot */
	GUARD_ID_USER = 1,
	GUARD_ID_GROUP = 2,
};

/* A user or group, by its number on the host, and the policies whose subject it is. */
struct guard_id {
	__u32 id;
	__u32 kind;	/* enum guard_id_kind */
	__u64 policies;
};

/* What a subject's executable may hold, and the policies whose subject says so. */
struct guard_content {
	__u64 sha256[GUARD_LIMIT_DIGEST / 8];
	__u64 policies;
};

/* Policies that gate a section, and those of them that deny what no rule matches. */
struct guard_gated {
	__u64 policies;
	__u64 default_deny;
};

/*
 * One generation: a whole policy set, never written after it was switched in.
 * In the map's value this is followed by the data and by struct guard_devices
 * (struct tables, lsm/maps.h).
 */
struct guard_root {
	__u32 abi;
	__u32 generation;
	__u64 enforce; /* policies in mode enforce */
	__u64 host;    /* policies with subject host: true */
	__u64 inherit; /* policies kept across an exec that does not match */
	__u64 exe;     /* policies whose subject names executables */
	__u64 cgroup;  /* policies whose subject names control groups */
	__u64 ids;		 /* policies whose subject names users or groups */
	__u64 contents;		 /* of exe, those that say sha256 too */
	struct guard_gated section[GUARD_LIMIT_SECTIONS];
	__u64 group_mask[GUARD_LIMIT_GROUPS]; /* policies with rules in this automaton */
	__u32 groups;			      /* automata in use: 1 .. GUARD_LIMIT_GROUPS */
	__u32 device_multiplier; /* slot = (device * multiplier >> 16) % slots, as u32 */
	__u32 net;		 /* start state of the automaton over sockets and addresses */
	__u32 cgroups;		 /* start state of the automaton over control groups' paths */
	__u64 zero;		 /* always 0, which the verifier does not know */
	__u16 column[256];	 /* byte -> offset of its column in a state's row, bytes */
	struct guard_verb_row kernel[GUARD_LIMIT_KERNEL_OPS];
	__u32 id_multiplier;	/* slot = (id * multiplier >> 16) % slots, as u32 */
	__u32 reserved;
	struct guard_id id[GUARD_LIMIT_ID_SLOTS];
	struct guard_content content[GUARD_LIMIT_CONTENTS];
};

/* The devices of one generation: a hash table, and what all others are. */
struct guard_devices {
	struct guard_device foreign;
	struct guard_device slot[GUARD_LIMIT_DEVICE_SLOTS];
	struct guard_device anonymous; /* memory, and files without any name */
};

/* A task's label, in task storage. */
struct guard_task {
	__u64 mask;		 /* policies in force by executable and inheritance */
	__u64 pending;		 /* what the exec under way adds; in force too */
	__u64 cgroup_id;	 /* control group that cgroup_mask is about */
	__u64 cgroup_mask;	 /* policies in force by control group, */
	__u32 cgroup_generation; /* under this generation; 0: not known */
	__u32 canary_hook;	 /* with CANARY: the hook that is to deny, enum guard_hook */
	__u32 flags;		 /* enum guard_task_flag */
	__u32 canary_class;
	__u32 exec_generation;	/* generation that the last exec committed under; 0: none */
	__u32 check_generation; /* generation that the last exec was checked under */
	__u64 overlay;		/* super block of the overlay judged last, or 0 */
};

/* One CPU's counters. attempts - dropped = events in the ring. */
struct guard_counters {
	__u64 attempts;	    /* sequence numbers given out: events worth recording */
	__u64 dropped;	    /* of those, the ring had no room */
	__u64 denied;	    /* operations refused */
	__u64 audited;	    /* operations that only audit-mode policies would refuse */
	__u64 unclassified; /* decisions with a reason other than policy */
	__u64 label_failed; /* forks and execs refused: no memory for a label */
	__u64 killed;	    /* processes ended by a rule */
};

/* How repeated events are counted instead of sent (lsm/repeat.h); written before attaching. */
struct guard_merging {
	__u64 secret[2];   /* random: makes kinds of events alike for nobody who plans it */
	__u64 interval_ns; /* a policy earns one event in so long; 0: as many as it likes */
	__u64 burst_ns;	   /* what it may have saved, as time */
	__u64 merge;	   /* 0: send every event */
};

/* What a policy may send, and the events that it might not. */
struct guard_allowance {
	__u64 due_ns; /* CLOCK_MONOTONIC: when all that was spent is earned again */
	__u64 limited;
};

/*
 * One record in the ring. Names follow in bytes[]: the object's path_size
 * bytes, then second_size bytes of the other path of a rename or link, then the
 * executable's exe_size bytes. A path is a list of names from the leaf towards
 * the root of its file system, every name followed by '/'; the root itself is
 * the empty list. An abstract UNIX socket's name takes the place of the path as
 * it is. In the fixed part, what is new in every event comes first; then what was
 * decided, on what, and for which process: guard/audit/fast.py remembers what it
 * wrote for the same bytes.
 */
struct guard_event {
	__u64 sequence; /* attempts of this CPU before this one */
	__u64 boot_ns;	/* CLOCK_BOOTTIME */
	__u32 cpu;
	__u32 suppressed; /* events like this one that were counted and not sent */
	__u64 policies;	  /* the task's policies, host-wide ones included */
	__u64 denied;	  /* policies whose verdict is deny */
	__u64 by_rule;	  /* of those, by a deny rule and not by default */
	__u64 enforced;	  /* of those denied, the ones in mode enforce */
	__u64 audited;	  /* policies with a matching audit: true rule */
	__u64 killed;	  /* of the enforced, those whose rule ends the process */
	__u32 generation;
	__u32 section;	 /* enum guard_section */
	__u32 hook;	 /* enum guard_hook */
	__u32 verbs;	 /* 1 << verb, those asked for: guard_path_verb, guard_net_verb */
	__u32 operation; /* section KERNEL: enum guard_kernel_op */
	__u32 reason;	 /* enum guard_reason */
	__u32 flags;	 /* enum guard_event_flag */
	__s32 error;	 /* what the hook returned: 0 or -errno */
	__u32 class_id[GUARD_LIMIT_GROUPS]; /* class in each automaton stepped */
	__u64 inode;
	__u32 device; /* kernel's dev_t of the object */
	__u32 target; /* thread group that the operation is about; 0: none */
	__u32 path_size;
	__u32 second_size;
	__u32 exe_size;
	__u16 family;	   /* NET_OBJECT: of the socket, AF_* */
	__u16 type;	   /* SOCK_* */
	__u16 protocol;	   /* IPPROTO_*; above 65535 there is none */
	__u16 port;	   /* in host order */
	__u8 address_size; /* 0, 4 or 16 */
	__u8 reserved[3];
	char address[16]; /* in network order; canonical: never IPv4-mapped */
	__u64 exe_inode;
	__u64 cgroup;	/* cgroup v2 id */
	__u64 start_ns; /* process start, CLOCK_BOOTTIME: with pid, who it is */
	__u32 exe_device;
	__u32 pid; /* thread group */
	__u32 tid;
	__u32 parent; /* thread group of the real parent */
	__u32 uid;
	__u32 gid;
	char comm[GUARD_LIMIT_COMM];
};

#endif
