/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a verdict to an event in the ring. Never changes the verdict. */
#ifndef GUARD_REPORT_H
#define GUARD_REPORT_H

#include "decide.h"

/* The longest name a dentry can have (NAME_MAX, uapi/linux/limits.h). */
#define NAME_BYTES 255

struct report {
	struct verdict verdict;
	__u32 hook;
	__u32 verbs;
	__u32 reason;
	__s32 error;
	__u32 device;
	__u32 flags;
};

/* Bytes that write_names will want for this dentry. */
static __noinline __u32 names_size(struct dentry *dentry)
{
	__u32 size = 0;

	for (int i = 0; i <= GUARD_LIMIT_DEPTH; i++) {
		struct dentry *parent = dentry->d_parent;

		if (parent == dentry)
			break;
		size += dentry->d_name.len + 1;
		dentry = parent;
	}
	return size;
}

/*
 * Writes the dentry's names from the leaf upwards, each followed by '/', from
 * ``at`` on. Returns the offset after the last; sets ``flag`` in event->flags
 * if the names nearest the root did not fit. ``limit`` is a constant, and
 * NAME_BYTES + 1 bytes beyond it are the buffer's too.
 */
static __always_inline __u32 write_names(struct guard_event *event, char *bytes, __u32 at,
					 struct dentry *dentry, const __u32 limit, __u32 flag,
					 __u32 zero)
{
	for (int i = 0; i <= GUARD_LIMIT_DEPTH; i++) {
		struct dentry *parent = dentry->d_parent;
		const unsigned char *name = (void *)0;
		__u32 size = dentry->d_name.len & NAME_BYTES;

		at = unrefined(at, zero);
		if (at > limit - NAME_BYTES - 1)
			break;
		if (parent == dentry)
			return at;
		bpf_probe_read_kernel(&name, sizeof(name), &dentry->d_name.name);
		bpf_probe_read_kernel(bytes + at, size, name);
		at += size;
		bytes[at] = '/';
		at++;
		dentry = parent;
	}
	event->flags |= flag;
	at = unrefined(at, zero);
	return at > limit ? limit : at;
}

static __always_inline void fill(struct guard_event *event, const struct object *object,
				 const struct report *report, struct task_struct *task, __u64 sequence)
{
	struct inode *inode = object->dentry->d_inode;
	__u64 ids = bpf_get_current_uid_gid();

	event->sequence = sequence;
	event->boot_ns = bpf_ktime_get_boot_ns();
	event->policies = report->verdict.policies;
	event->denied = report->verdict.denied;
	event->by_rule = report->verdict.by_rule;
	event->enforced = report->verdict.denied & object->tables->root.enforce;
	event->audited = report->verdict.audited;
	event->inode = inode ? inode->i_ino : 0;
	event->exe_inode = 0;
	event->cgroup = bpf_get_current_cgroup_id();
	event->start_ns = task->start_boottime;
	event->generation = object->tables->root.generation;
	event->hook = report->hook;
	event->verbs = report->verbs;
	event->reason = report->reason;
	event->cpu = bpf_get_smp_processor_id();
	event->flags = report->flags;
	event->error = report->error;
	event->device = report->device;
	event->exe_device = 0;
	event->pid = task->tgid;
	event->tid = task->pid;
	event->parent = task->real_parent->tgid;
	event->uid = ids;
	event->gid = ids >> 32;
#pragma unroll
	for (int group = 0; group < GUARD_LIMIT_GROUPS; group++)
		event->class_id[group] = object->row[group] ? object->class_id[group] : 0;
	event->path_size = 0;
	event->exe_size = 0;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	if (inode && !inode->i_nlink)
		event->flags |= GUARD_EVENT_UNLINKED;
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

/* Fills a reservation that has room for ``limit`` bytes of names and one name more. */
static __always_inline void compose(struct guard_event *event, const struct object *object,
				    const struct report *report, __u64 sequence, const __u32 limit)
{
	struct task_struct *task = bpf_get_current_task_btf();
	char *bytes = (char *)(event + 1);
	struct dentry *exe = exe_dentry(task);
	__u32 zero = opaque_zero(object->tables);
	__u32 at;

	fill(event, object, report, task, sequence);
	at = write_names(event, bytes, 0, object->dentry, limit, GUARD_EVENT_PATH_CUT, zero);
	event->path_size = at;
	if (!exe) {
		event->flags |= GUARD_EVENT_NO_EXE;
		return;
	}
	event->exe_device = exe->d_sb->s_dev;
	event->exe_inode = exe->d_inode->i_ino;
	event->exe_size = write_names(event, bytes, at, exe, limit, GUARD_EVENT_EXE_CUT, zero) - at;
}

/* A reservation's size must be a constant: hence a short and a long event. */
#define EVENT_BYTES(limit) (sizeof(struct guard_event) + (limit) + NAME_BYTES + 1)

static __noinline int send_short(const struct object *object, const struct report *report,
				 __u64 sequence)
{
	struct guard_event *event =
		bpf_ringbuf_reserve(&guard_events, EVENT_BYTES(GUARD_LIMIT_PATHS_SHORT), 0);

	if (!event) {
		COUNT(dropped);
		return 0;
	}
	compose(event, object, report, sequence, GUARD_LIMIT_PATHS_SHORT);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

static __noinline int send_long(const struct object *object, const struct report *report,
				__u64 sequence)
{
	struct guard_event *event =
		bpf_ringbuf_reserve(&guard_events, EVENT_BYTES(GUARD_LIMIT_PATHS_LONG), 0);

	if (!event) {
		COUNT(dropped);
		return 0;
	}
	compose(event, object, report, sequence, GUARD_LIMIT_PATHS_LONG);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/*
 * Sends one event. The sequence number is taken first, so that an event for
 * which the ring has no room leaves a visible hole.
 */
static __noinline int send(const struct object *object, const struct report *report)
{
	struct guard_counters *counts = counters();
	struct dentry *exe = exe_dentry(bpf_get_current_task_btf());
	__u64 sequence = 0;
	__u32 size = names_size(object->dentry);

	if (counts)
		sequence = __sync_fetch_and_add(&counts->attempts, 1);
	if (exe)
		size += names_size(exe);
	/* write_names keeps a name's length free below its limit. */
	if (size <= GUARD_LIMIT_PATHS_SHORT - NAME_BYTES - 1)
		return send_short(object, report, sequence);
	return send_long(object, report, sequence);
}

#endif
