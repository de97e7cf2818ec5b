// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The file gate.
 *
 * file_open: read, write and list, when a file or directory is opened by any
 *   route (open, openat2, open_by_handle_at, io_uring, O_PATH reopened through
 *   /proc); the object is judged by its path inside its file system as the
 *   host mounts it.
 *
 * Not covered here: descriptors that were open before the policy or came from
 * another process; creating, deleting, renaming, linking and changing
 * attributes (an open with O_CREAT that is denied leaves an empty file);
 * opening for execution, which is the exec section's.
 */
#include "report.h"

/*
 * 6.5 and later open the real file below a stacking file system with a second
 * file_open for the same caller. Where the upper file's device is in the table
 * its path has been judged already, and the real one is nobody's name for it.
 * A foreign stack, which a user namespace can mount over anything, does not
 * get that: there the real path is judged.
 */
static __always_inline bool judged_above(const struct tables *tables, struct file *file)
{
	struct backing_file *backing = (void *)file;
	struct super_block *sb = (void *)0;
	struct dentry *user = (void *)0;
	__u32 device = 0;

	if (!(file->f_mode & FMODE_BACKING) || !bpf_core_field_exists(backing->user_path))
		return false;
	bpf_probe_read_kernel(&user, sizeof(user),
			      (void *)file + bpf_core_field_offset(backing->user_path) +
				      bpf_core_field_offset(struct path, dentry));
	bpf_probe_read_kernel(&sb, sizeof(sb), (void *)user + bpf_core_field_offset(struct dentry, d_sb));
	bpf_probe_read_kernel(&device, sizeof(device),
			      (void *)sb + bpf_core_field_offset(struct super_block, s_dev));
	return find_device(tables, device) != 0;
}

static __always_inline __u32 verbs_of(struct file *file)
{
	__u32 verbs = 0;

	if ((file->f_inode->i_mode & S_IFMT) == S_IFDIR)
		return 1 << GUARD_FILE_LIST;
	if (file->f_mode & FMODE_READ)
		verbs |= 1 << GUARD_FILE_READ;
	if (file->f_mode & FMODE_WRITE || file->f_flags & OPEN_TRUNC)
		verbs |= 1 << GUARD_FILE_WRITE;
	return verbs;
}

/*
 * From the classified object to the verdict. A canary is denied if, and only
 * if, the kernel classified as user space foretold. Returns whether there is
 * something to record. Leaves nothing constant in the report: see unrefined.
 */
static __noinline int conclude(const struct object *object, struct report *report, __u32 flags,
			       __u32 foretold)
{
	__u32 zero = opaque_zero(object->tables);
	__u32 reason = object->reason;
	__u64 enforced;
	__s32 error = 0;

	if (flags & GUARD_TASK_CANARY) {
		if (reason != GUARD_REASON_POLICY || object->class_id[0] != foretold)
			return 0;
		report->reason = unrefined(GUARD_REASON_CANARY, zero);
		report->error = unrefined(-EACCES, zero);
		return 1;
	}
	if (reason != GUARD_REASON_POLICY) {
		/* Fail closed: what cannot be classified, no policy has allowed. */
		report->verdict.denied = report->verdict.policies;
		COUNT(unclassified);
	} else {
#pragma unroll
		for (int verb = GUARD_FILE_READ; verb <= GUARD_FILE_LIST; verb++)
			if (report->verbs & (1 << verb))
				decide_verb(object, &report->verdict, verb);
	}
	enforced = report->verdict.denied & object->tables->root.enforce;
	if (enforced) {
		error = -EACCES;
		COUNT(denied);
	} else if (report->verdict.denied) {
		COUNT(audited);
	}
	report->reason = unrefined(reason, zero);
	report->error = unrefined(error, zero);
	return (report->verdict.denied | report->verdict.audited) != 0;
}

static __always_inline int judge(struct file *file, const struct guard_task *label)
{
	struct report report = { .hook = GUARD_HOOK_FILE_OPEN };
	struct object object = {};
	const struct tables *tables = current_tables();
	struct dentry *dentry = file->f_path.dentry;
	__u32 flags = 0, foretold = 0, device, zero;
	__u64 policies = 0;

	if (label) {
		flags = label->flags;
		foretold = label->canary_class;
		policies = label->mask;
	}
	if (!tables) {
		COUNT(unclassified);
		return policies ? -EACCES : 0;
	}
	zero = opaque_zero(tables);
	flags = unrefined(flags, zero);
	foretold = unrefined(foretold, zero);
	if (!(flags & GUARD_TASK_EXEMPT))
		policies |= tables->root.host;
	policies = unrefined64(policies & tables->root.file, zero);
	if (!policies && !(flags & GUARD_TASK_CANARY))
		return 0;
	if (file->f_flags & FMODE_EXEC)
		return 0;
	if (judged_above(tables, file))
		return 0;

	report.device = dentry->d_sb->s_dev;
	device = unrefined(find_device(tables, report.device), zero);
	begin_object(&object, tables, dentry, device,
		     flags & GUARD_TASK_CANARY ? ~0ull : policies);
	report.verbs = unrefined(verbs_of(file), zero);
	report.verdict.policies = policies;
	report.flags = unrefined(device ? 0 : GUARD_EVENT_FOREIGN, zero);
	/* Before 6.5 a stacked file's path hides the real inode (open_with_fake_path). */
	if (!device && file->f_inode->i_sb != dentry->d_sb)
		object.reason = unrefined(GUARD_REASON_STACKED, zero);
	else
		classify(&object);
	if (conclude(&object, &report, flags, foretold))
		send(&object, &report);
	return report.error;
}

SEC("lsm/file_open")
int BPF_PROG(guard_file_open, struct file *file, int ret)
{
	struct guard_task *label;
	int error;

	if (ret)
		return ret;
	label = bpf_task_storage_get(&guard_labels, bpf_get_current_task_btf(), 0, 0);
	if (!guard_host && (!label || !(label->mask | label->flags)))
		return 0;
	error = judge(file, label);
	/* The verifier of 6.12 wants to see that this is 0 or a small negative number. */
	return error ? -EACCES : 0;
}
