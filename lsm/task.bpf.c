// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Labels: which policies apply to a task.
 *
 * task_alloc: a new task (fork, thread, io_uring worker) has its parent's label.
 * bprm_creds_for_exec, bprm_check_security, bprm_committed_creds: an exec adds
 *   the policies whose subject matches the new executable (script and
 *   interpreter both) and drops those that do not say inherit. What the exec
 *   adds is pending until the commit, and in force at once: a program that
 *   fails to start leaves its policies on the one that tried.
 * iter/task: labels the tasks that ran before their policy was loaded.
 *
 * Not covered here: changes of user, group and cgroup.
 */
#include "subject.h"

SEC("lsm/task_alloc")
int BPF_PROG(guard_task_alloc, struct task_struct *task, unsigned long clone_flags, int ret)
{
	struct guard_task *parent, *child;
	bool unknown;

	if (ret)
		return ret;
	parent = current_label(&unknown);
	if (unknown && policies_by_hand()) {
		/* The child's label cannot be made now either. */
		COUNT(label_failed);
		return -EAGAIN;
	}
	if (!parent || !(parent->mask | parent->pending | parent->flags))
		return 0;
	child = bpf_task_storage_get(&guard_labels, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!child) {
		/* A task without its label would be a task without its policies. */
		COUNT(label_failed);
		return -ENOMEM;
	}
	child->mask = parent->mask | parent->pending;
	child->flags = parent->flags;
	child->canary_class = parent->canary_class;
	if (!(clone_flags & CLONE_THREAD_FLAG))
		child->flags &= ~GUARD_TASK_EXEMPT;
	return 0;
}

SEC("lsm/bprm_creds_for_exec")
int BPF_PROG(guard_exec_begin, struct linux_binprm *bprm, int ret)
{
	struct guard_task *label;
	bool unknown;

	if (ret)
		return ret;
	label = current_label(&unknown);
	if (unknown) {
		COUNT(label_failed);
		return -EAGAIN;
	}
	if (label)
		label->pending = 0;
	return 0;
}

/* Called for the file given to execve and again for each interpreter. */
SEC("lsm/bprm_check_security")
int BPF_PROG(guard_exec_check, struct linux_binprm *bprm, int ret)
{
	const struct tables *tables;
	struct guard_task *label;
	__u64 policies;
	bool unknown;

	if (ret)
		return ret;
	tables = current_tables();
	if (!tables)
		return 0;
	label = current_label(&unknown);
	if (unknown) {
		COUNT(label_failed);
		return -EAGAIN;
	}
	if (label)
		label->check_generation = tables->root.generation;
	if (!tables->root.exe)
		return 0;
	policies = subject_policies(tables, bprm->file->f_path.dentry);
	if (!policies)
		return 0;
	label = bpf_task_storage_get(&guard_labels, bpf_get_current_task_btf(), 0,
				     BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!label) {
		COUNT(label_failed);
		return -ENOMEM;
	}
	label->pending |= policies;
	return 0;
}

SEC("lsm/bprm_committed_creds")
int BPF_PROG(guard_exec_commit, struct linux_binprm *bprm)
{
	const struct tables *tables;
	struct guard_task *label;
	bool unknown;

	/* Cannot fail. What is not committed stays pending, and pending policies are in force. */
	label = current_label(&unknown);
	if (!label)
		return 0;
	tables = current_tables();
	if (tables) {
		label->mask = (label->mask & tables->root.inherit) | label->pending;
		label->exec_generation = tables->root.generation;
	}
	label->pending = 0;
	label->flags &= ~GUARD_TASK_EXEMPT;
	return 0;
}

struct bpf_iter_meta;

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} KERNEL_TYPE;

/*
 * Adds to every running task the policies whose subject names its executable.
 * Only ever adds: a task that executes something else meanwhile is labelled by
 * the exec hooks.
 */
SEC("iter/task")
int guard_sweep(struct bpf_iter__task *context)
{
	struct task_struct *task = context->task;
	const struct tables *tables = current_tables();
	struct guard_task *label;
	struct file *exe;
	__u64 policies;

	if (!task || !tables || !tables->root.exe || !task->mm)
		return 0;
	exe = task->mm->exe_file;
	if (!exe)
		return 0;
	policies = subject_policies(tables, exe->f_path.dentry);
	if (!policies)
		return 0;
	label = bpf_task_storage_get(&guard_labels, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!label) {
		COUNT(label_failed);
		return 0;
	}
	__sync_fetch_and_or(&label->mask, policies);
	return 0;
}
