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

/* Changes whenever a type below changes its layout or meaning. */
enum guard_abi {
	GUARD_ABI_VERSION = 1,
};

enum guard_limit {
	GUARD_LIMIT_POLICIES = 64,	/* bits in a mask */
	GUARD_LIMIT_GROUPS = 4,		/* automata that one open may step */
	GUARD_LIMIT_VERBS = 16,		/* verbs in a row; three are in use */
	GUARD_LIMIT_DEVICE_SLOTS = 1024, /* slots of the device hash table */
	GUARD_LIMIT_DEVICES = 512,	/* used slots: half, so probes stay short */
	GUARD_LIMIT_DEVICE_PROBES = 4,	/* slots looked at before a device is foreign */
	GUARD_LIMIT_DEPTH = 256,	/* components; a longer walk is a latency attack */
	GUARD_LIMIT_COMM = 16,		/* TASK_COMM_LEN, include/linux/sched.h */
	GUARD_LIMIT_PATHS_SHORT = 512,	/* bytes of both paths in a short event */
	GUARD_LIMIT_PATHS_LONG = 8192,	/* in a long one: PATH_MAX twice */
};

/* File verbs. The words of policies and records are these names in lower case. */
enum guard_path_verb {
	GUARD_PATH_READ = 0,	/* open for reading: a file's contents */
	GUARD_PATH_WRITE = 1,	/* open for writing or with O_TRUNC */
	GUARD_PATH_LIST = 2,	/* open a directory: its entries' names */
};

/* The hooks that guard has a program for. */
enum guard_hook {
	GUARD_HOOK_FILE_OPEN = 0,
	GUARD_HOOK_TASK_ALLOC = 1,
	GUARD_HOOK_BPRM_CREDS_FOR_EXEC = 2,
	GUARD_HOOK_BPRM_CHECK_SECURITY = 3,
	GUARD_HOOK_BPRM_COMMITTED_CREDS = 4,
};

/* Why a decision was what it was, where it was not plainly the policy. */
enum guard_reason {
	GUARD_REASON_POLICY = 0,	/* a rule or a section's default */
	GUARD_REASON_TOO_DEEP = 1,	/* more components than GUARD_LIMIT_DEPTH */
	GUARD_REASON_RENAME_RACE = 2,	/* renames never paused during the walk */
	GUARD_REASON_NO_TABLES = 3,	/* no generation is in its slot */
	GUARD_REASON_STACKED = 4,	/* a foreign stacking file system hides the object */
	GUARD_REASON_CANARY = 5,	/* guard testing itself */
	GUARD_REASON_DISCONNECTED = 6,	/* known by its inode alone: it has no path */
};

enum guard_task_flag {
	GUARD_TASK_EXEMPT = 1,	/* guard's own process: host-wide policies pass it by */
	GUARD_TASK_CANARY = 2,	/* deny if the object's class is canary_class */
};

enum guard_event_flag {
	GUARD_EVENT_PATH_CUT = 1,	/* the components nearest the root are missing */
	GUARD_EVENT_EXE_CUT = 2,
	GUARD_EVENT_FOREIGN = 4,	/* the object's device is not in the table */
	GUARD_EVENT_NO_EXE = 8,		/* a kernel thread */
	GUARD_EVENT_UNLINKED = 16,	/* the object has no name any more (link count 0) */
};

/* A state word: byte offset of the state's row of cells in tables.data, plus: */
enum guard_state {
	GUARD_STATE_FINAL = 1,	/* the class is the same for everything below */
};

/* The first columns of a state's row; byte classes follow from _FIRST on. */
enum guard_column {
	GUARD_COLUMN_ROW = 0,	/* offset of the class's struct guard_row in data */
	GUARD_COLUMN_CLASS = 1,	/* the class's id, for the record */
	GUARD_COLUMN_SLASH = 2,	/* next state after '/' */
	GUARD_COLUMN_FIRST = 3,	/* next state after byte class 0, 1, ... */
};

/* One verb of one class: a bit per policy. */
struct guard_verb_row {
	__u64 allow;	/* an allow rule of the policy matches */
	__u64 deny;	/* a deny rule matches; beats allow */
	__u64 audit;	/* a matching rule wants a record even when allowed */
	__u64 kill;	/* a matching deny rule ends the process */
};

struct guard_row {
	struct guard_verb_row verb[GUARD_LIMIT_VERBS];
};

/* Where the automata start for objects on one mounted device. */
struct guard_device {
	__u32 device;	/* kernel's dev_t: major << 20 | minor; 0 is an empty slot */
	__u32 subject;	/* start state of the automaton over executables */
	__u32 start[GUARD_LIMIT_GROUPS]; /* start state of each file automaton */
	__u32 reserved[2];
};

/*
 * One generation: a whole policy set, never written after it was switched in.
 * In the map's value this is followed by the data and by struct guard_devices
 * (struct tables, lsm/maps.h).
 */
struct guard_root {
	__u32 abi;
	__u32 generation;
	__u64 enforce;		/* policies in mode enforce */
	__u64 host;		/* policies with subject host: true */
	__u64 inherit;		/* policies kept across an exec that does not match */
	__u64 exe;		/* policies whose subject names executables */
	__u64 file;		/* policies with a file section */
	__u64 file_default_deny; /* of those, the ones with default: deny */
	__u64 group_mask[GUARD_LIMIT_GROUPS]; /* policies with rules in this automaton */
	__u32 groups;		/* automata in use: 1 .. GUARD_LIMIT_GROUPS */
	__u32 device_multiplier; /* slot = (device * multiplier >> 16) % slots, as u32 */
	__u64 zero;		/* always 0, which the verifier does not know */
	__u16 column[256];	/* byte -> offset of its column in a state's row, bytes */
};

/* The devices of one generation: a hash table, and what all others are. */
struct guard_devices {
	struct guard_device foreign;
	struct guard_device slot[GUARD_LIMIT_DEVICE_SLOTS];
};

/* A task's label, in task storage. */
struct guard_task {
	__u64 mask;		/* policies in force, host-wide ones not included */
	__u64 pending;		/* what the exec under way adds; in force too */
	__u32 flags;		/* enum guard_task_flag */
	__u32 canary_class;
	__u32 exec_generation;	/* generation that the last exec committed under; 0: none */
	__u32 check_generation;	/* generation that the last exec was checked under */
};

/* One CPU's counters. attempts - dropped = events in the ring. */
struct guard_counters {
	__u64 attempts;		/* sequence numbers given out: events worth recording */
	__u64 dropped;		/* of those, the ring had no room */
	__u64 denied;		/* operations refused */
	__u64 audited;		/* operations that only audit-mode policies would refuse */
	__u64 unclassified;	/* decisions with a reason other than policy */
	__u64 label_failed;	/* forks and execs refused: no memory for a label */
};

/*
 * One record in the ring. Both paths follow in bytes[]: the object's
 * path_size bytes, then the executable's exe_size bytes. Each is a list of
 * names from the leaf towards the root of its file system, every name followed
 * by '/'; the root itself is the empty list.
 */
struct guard_event {
	__u64 sequence;		/* attempts of this CPU before this one */
	__u64 boot_ns;		/* CLOCK_BOOTTIME */
	__u64 policies;		/* the task's policies, host-wide ones included */
	__u64 denied;		/* policies whose verdict is deny */
	__u64 by_rule;		/* of those, by a deny rule and not by default */
	__u64 enforced;		/* of those denied, the ones in mode enforce */
	__u64 audited;		/* policies with a matching audit: true rule */
	__u64 inode;
	__u64 exe_inode;
	__u64 cgroup;		/* cgroup v2 id */
	__u64 start_ns;		/* process start, CLOCK_BOOTTIME: with pid, who it is */
	__u32 generation;
	__u32 hook;		/* enum guard_hook */
	__u32 verbs;		/* 1 << enum guard_path_verb, those asked for */
	__u32 reason;		/* enum guard_reason */
	__u32 cpu;
	__u32 flags;		/* enum guard_event_flag */
	__s32 error;		/* what the hook returned: 0 or -errno */
	__u32 device;		/* kernel's dev_t of the object */
	__u32 exe_device;
	__u32 pid;		/* thread group */
	__u32 tid;
	__u32 parent;		/* thread group of the real parent */
	__u32 uid;
	__u32 gid;
	__u32 class_id[GUARD_LIMIT_GROUPS]; /* class in each automaton stepped */
	__u32 path_size;
	__u32 exe_size;
	char comm[GUARD_LIMIT_COMM];
};

#endif
