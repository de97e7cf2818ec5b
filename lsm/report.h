/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a verdict to an event in the ring. Never changes the verdict. */
#ifndef GUARD_REPORT_H
#define GUARD_REPORT_H

#include "decide.h"
#include "repeat.h"

/* The longest name a dentry can have (NAME_MAX, uapi/linux/limits.h). */
#define NAME_BYTES 255

/*
 * An event with room for names. A reservation's size must be a constant: hence a
 * short and a long one. Behind the limit is room for one name more.
 */
struct short_event {
	struct guard_event event;
	char bytes[GUARD_LIMIT_PATHS_SHORT + NAME_BYTES + 1];
};

struct long_event {
	struct guard_event event;
	char bytes[GUARD_LIMIT_PATHS_LONG + NAME_BYTES + 1];
};

/* Defined once in report.bpf.c; global, so that each is verified once a program. */
__u32 guard_names_size(__u64 dentry, __u32 before);
__u32 guard_write_short(struct short_event *event, __u32 at, __u64 dentry, __u32 flag);
__u32 guard_write_long(struct long_event *event, __u32 at, __u64 dentry, __u32 flag);

/* Bytes of an abstract UNIX socket's name: sun_path without its first NUL. */
#define ABSTRACT_MOST 107

/* A socket and an address, in canonical form: what the net gate judges. */
struct socket_object {
	__u16 family;
	__u16 type;
	__u16 protocol;
	__u16 port;	    /* host order */
	__u16 address_size; /* 0, 4 or 16 */
	__u16 abstract;	    /* nonzero: an abstract UNIX socket's name, in place of an address */
	__u32 name_size;    /* 0 to ABSTRACT_MOST: an abstract name may be empty */
	char address[16];   /* network order */
	__u64 name;	    /* kernel address */
};

/* number_of, with a stack of its own: many are too much for the callers'. */
static __noinline __u64 address_of(const void *pointer)
{
	return number_of(pointer);
}

static __always_inline void fill(struct guard_event *event, const struct tables *tables,
				 const struct report *report, struct task_struct *task,
				 __u64 sequence)
{
	__u64 ids = bpf_get_current_uid_gid();

	event->sequence = sequence;
	event->boot_ns = bpf_ktime_get_boot_ns();
	event->policies = report->verdict.policies;
	event->denied = report->verdict.denied;
	event->by_rule = report->verdict.by_rule;
	event->enforced = report->verdict.denied & tables->root.enforce;
	event->audited = report->verdict.audited;
	event->killed = report->verdict.killed;
	event->inode = 0;
	event->generation = tables->root.generation;
	event->section = report->section;
	event->hook = report->hook;
	event->verbs = report->verbs;
	event->operation = report->operation;
	event->reason = report->reason;
	event->cpu = bpf_get_smp_processor_id();
	event->flags = report->flags;
	event->error = report->error;
	event->device = report->device;
	event->target = report->target;
	event->suppressed = 0;
	event->path_size = 0;
	event->second_size = 0;
	event->exe_size = 0;
	event->family = 0;
	event->type = 0;
	event->protocol = 0;
	event->port = 0;
	event->address_size = 0;
	__builtin_memset(event->reserved, 0, sizeof(event->reserved));
	__builtin_memset(event->address, 0, sizeof(event->address));
	event->exe_inode = 0;
	event->cgroup = bpf_get_current_cgroup_id();
	event->start_ns = task->start_boottime;
	event->exe_device = 0;
	event->pid = task->tgid;
	event->tid = task->pid;
	event->parent = task->real_parent->tgid;
	event->uid = ids;
	event->gid = ids >> 32;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
}

/* The executable's dentry, or NULL for a kernel thread. */
static __always_inline struct dentry *exe_dentry(struct task_struct *task)
{
	struct file *exe;

	if (!task->mm)
		return (void *)0;
	exe = task->mm->exe_file;
	return exe ? exe->f_path.dentry : (void *)0;
}

/*
 * The names of an object's event: WRITE is guard_write_short or _long. A macro,
 * because the two kinds of reservation are two types.
 */
#define WRITE_EXE(WRITE, whole, at, task)                                                      \
	do {                                                                                   \
		struct dentry *exe_ = exe_dentry(task);                                        \
		if (!exe_) {                                                                   \
			(whole)->event.flags |= GUARD_EVENT_NO_EXE;                            \
		} else {                                                                       \
			(whole)->event.exe_device = exe_->d_sb->s_dev;                         \
			(whole)->event.exe_inode = exe_->d_inode->i_ino;                       \
			(whole)->event.exe_size =                                              \
				WRITE(whole, at, address_of(exe_), GUARD_EVENT_EXE_CUT) - (at); \
		}                                                                              \
	} while (0)

#define COMPOSE(WRITE, whole, object, report, sequence)                                    \
	do {                                                                               \
		struct task_struct *task_ = bpf_get_current_task_btf();                    \
		__u32 at_, first_;                                                         \
		fill(&(whole)->event, (object)->tables, report, task_, sequence);          \
		describe(&(whole)->event, object);                                         \
		at_ = WRITE(whole, 0, address_of((object)->dentry), GUARD_EVENT_PATH_CUT);  \
		(whole)->event.path_size = at_;                                            \
		if ((report)->second) {                                                    \
			first_ = at_;                                                      \
			at_ = WRITE(whole, at_, (report)->second, GUARD_EVENT_SECOND_CUT); \
			(whole)->event.second_size = at_ - first_;                         \
		}                                                                          \
		WRITE_EXE(WRITE, whole, at_, task_);                                       \
	} while (0)

/* The object's numbers. */
static __always_inline void describe(struct guard_event *event, const struct object *object)
{
	struct inode *inode = object->dentry->d_inode;

#pragma unroll
	for (int group = 0; group < GUARD_LIMIT_GROUPS; group++)
		event->class_id[group] = object->state[group] ? class_in(object, group) : 0;
	if (inode) {
		event->inode = inode->i_ino;
		if (!inode->i_nlink)
			event->flags |= GUARD_EVENT_UNLINKED;
	}
}

/* The ring for this report; NULL never happens, but the verifier asks. */
static __always_inline void *ring_for(const struct report *report)
{
	__u32 slot = report->error ? RING_DENIED : RING_OTHER;

	return bpf_map_lookup_elem(&guard_rings, &slot);
}

/* The next sequence number: taken first, so that what finds no room leaves a visible hole. */
static __always_inline __u64 next_sequence(void)
{
	struct guard_counters *counts = counters();

	return counts ? __sync_fetch_and_add(&counts->attempts, 1) : 0;
}

static __noinline int send_short(const struct object *object, const struct report *report,
				 __u64 sequence)
{
	void *ring = ring_for(report);
	struct short_event *whole = ring ? bpf_ringbuf_reserve(ring, sizeof(*whole), 0) : (void *)0;

	if (!whole) {
		COUNT(dropped);
		guard_keep(report->place, 0);
		return 0;
	}
	COMPOSE(guard_write_short, whole, object, report, sequence);
	guard_keep(report->place, address_of(whole));
	bpf_ringbuf_submit(whole, 0);
	return 0;
}

static __noinline int send_long(const struct object *object, const struct report *report,
				__u64 sequence)
{
	void *ring = ring_for(report);
	struct long_event *whole = ring ? bpf_ringbuf_reserve(ring, sizeof(*whole), 0) : (void *)0;

	if (!whole) {
		COUNT(dropped);
		guard_keep(report->place, 0);
		return 0;
	}
	COMPOSE(guard_write_long, whole, object, report, sequence);
	guard_keep_rest(report->place, address_of(whole));
	bpf_ringbuf_submit(whole, 0);
	return 0;
}

/*
 * Where an event's repeats are to be counted, or NOT_SENT: it is one itself. Two are
 * of one kind that are alike in all but their time, CPU and names' middles.
 */
static __noinline __u32 place_for(const struct tables *tables, const struct report *report,
				  __u64 dentry, const struct socket_object *socket)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct verdict *verdict = &report->verdict;
	__u64 policies = verdict->denied ? verdict->denied : verdict->audited;
	struct mix mix;

	begin_mix(&mix);
	guard_mix(&mix, (__u64)task->pid << 32 | (__u32)task->tgid, task->start_boottime,
		  address_of(exe_dentry(task)), bpf_get_current_uid_gid());
	guard_mix(&mix, (__u64)report->section << 32 | report->hook,
		  (__u64)report->verbs << 32 | report->operation,
		  (__u64)report->reason << 32 | (__u32)report->error,
		  (__u64)report->flags << 32 | report->target);
	guard_mix(&mix, (__u64)tables->root.generation << 32 | report->device, verdict->policies,
		  verdict->denied, verdict->by_rule);
	guard_mix(&mix, verdict->audited, verdict->killed, report->second != 0, dentry != 0);
	if (socket) {
		guard_mix(&mix,
			  (__u64)socket->family << 48 | (__u64)socket->type << 32 |
				  (__u64)socket->protocol << 16 | socket->port,
			  (__u64)socket->address_size << 32 | socket->abstract,
			  *(const __u64 *)socket->address, *(const __u64 *)(socket->address + 8));
		guard_mix_bytes(&mix, socket->name, socket->name_size & 127);
	} else {
		guard_mix_name(&mix, dentry);
		guard_mix_name(&mix, report->second);
	}
	return guard_place(&mix, policies, report->error != 0, report->reason);
}

/* Sends one event about an object that has a path; its place is known. */
static __noinline int send(const struct object *object, const struct report *report)
{
	struct dentry *exe = exe_dentry(bpf_get_current_task_btf());
	__u64 sequence = next_sequence();
	__u32 size = guard_names_size(address_of(object->dentry), opaque_zero(object->tables));

	if (exe)
		size = guard_names_size(address_of(exe), size);
	if (report->second)
		size = guard_names_size(report->second, size);
	/* The writers keep a name's length free below its limit. */
	if (size <= GUARD_LIMIT_PATHS_SHORT - NAME_BYTES - 1)
		return send_short(object, report, sequence);
	guard_keep_names(report->place, address_of(object->dentry), report->second, address_of(exe));
	return send_long(object, report, sequence);
}

/*
 * Sends one event about something without a path: a socket and its address, or
 * an operation on the kernel. An executable's path too long for the short event
 * is cut, and says so.
 */
static __noinline int send_placed(const struct tables *tables, const struct report *report,
				  const struct socket_object *socket, __u32 class_id)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 zero = opaque_zero(tables), at = zero, size;
	void *ring = ring_for(report);
	__u64 sequence = next_sequence();
	struct short_event *whole = ring ? bpf_ringbuf_reserve(ring, sizeof(*whole), 0) : (void *)0;
	struct guard_event *event;

	if (!whole) {
		COUNT(dropped);
		guard_keep(report->place, 0);
		return 0;
	}
	event = &whole->event;
	fill(event, tables, report, task, sequence);
#pragma unroll
	for (int group = 0; group < GUARD_LIMIT_GROUPS; group++)
		event->class_id[group] = 0;
	event->class_id[0] = class_id;
	if (socket) {
		event->flags |= GUARD_EVENT_NET_OBJECT;
		event->family = socket->family;
		event->type = socket->type;
		event->protocol = socket->protocol;
		event->port = socket->port;
		event->address_size = socket->address_size;
		__builtin_memcpy(event->address, socket->address, sizeof(event->address));
		if (socket->abstract)
			event->flags |= GUARD_EVENT_ABSTRACT;
		size = unrefined(socket->name_size, zero) & 127;
		if (size) {
			bpf_probe_read_kernel(whole->bytes, size, (void *)socket->name);
			event->path_size = size;
			at = size;
		}
	}
	WRITE_EXE(guard_write_short, whole, at, task);
	guard_keep(report->place, address_of(whole));
	bpf_ringbuf_submit(whole, 0);
	return 0;
}

/* Inlined, because of the stack: place_for is as deep as sending is. */
static __always_inline int send_plain(const struct tables *tables, struct report *report,
				      const struct socket_object *socket, __u32 class_id)
{
	report->place = place_for(tables, report, opaque_zero(tables), socket);
	return report->place == NOT_SENT ? 0 : send_placed(tables, report, socket, class_id);
}

#endif
