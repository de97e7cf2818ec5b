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
static __noinline int judged_above(const struct tables *tables, struct file *file)
{
	struct backing_file *backing = (void *)file;
	struct super_block *sb = (void *)0;
	struct dentry *user = (void *)0;
	__u32 device = 0;

	if (!bpf_core_field_exists(backing->user_path))
		return 0;
	bpf_probe_read_kernel(&user, sizeof(user),
			      (void *)file + bpf_core_field_offset(backing->user_path) +
				      bpf_core_field_offset(struct path, dentry));
	bpf_probe_read_kernel(&sb, sizeof(sb), (void *)user + bpf_core_field_offset(struct dentry, d_sb));
	bpf_probe_read_kernel(&device, sizeof(device),
			      (void *)sb + bpf_core_field_offset(struct super_block, s_dev));
	/* A read that failed must not find an empty slot. */
	return device && find_device(tables, device);
}

static __always_inline __u32 verbs_of(struct file *file)
{
	__u32 verbs = 0;

	if ((file->f_inode->i_mode & S_IFMT) == S_IFDIR)
		return 1 << GUARD_PATH_LIST;
	if (file->f_mode & FMODE_READ)
		verbs |= 1 << GUARD_PATH_READ;
	if (file->f_mode & FMODE_WRITE || file->f_flags & OPEN_TRUNC)
		verbs |= 1 << GUARD_PATH_WRITE;
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
		for (int verb = GUARD_PATH_READ; verb <= GUARD_PATH_LIST; verb++)
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

/* What the gate knows of one open before it looks at the path. */
struct opening {
	const struct tables *tables;
	struct file *file;
	struct dentry *dentry;
	__u64 policies;
	__u32 device;	/* index for device_at */
	__u32 verbs;
};

/*
 * The quick way to an unremarkable allow, with everything in registers: read,
 * write, both or list, a path of ordinary depth, no rename in between, nothing
 * to record. Returns false for all else, which judge then decides from the
 * start; so it may be too strict (for both verbs it wants one automaton to
 * allow both), but never too kind.
 */
static __always_inline bool plainly_allowed(const struct opening *opening)
{
	const struct tables *tables = opening->tables;
	const struct guard_device *device = device_at(tables, opening->device);
	__u64 allow = 0, deny = 0, audit = 0, zero = opaque_zero(tables);
	const struct seqcount *lock;
	__u32 before, verb;

	if (opening->verbs == 1 << GUARD_PATH_READ)
		verb = GUARD_PATH_READ;
	else if (opening->verbs == 1 << GUARD_PATH_WRITE)
		verb = GUARD_PATH_WRITE;
	else if (opening->verbs == 1 << GUARD_PATH_LIST)
		verb = GUARD_PATH_LIST;
	else if (opening->verbs == (1 << GUARD_PATH_READ | 1 << GUARD_PATH_WRITE))
		verb = GUARD_PATH_READ;
	else
		return false;
	verb = unrefined(verb, zero);
	lock = rename_seqcount();
	/* Odd while a rename is under way: made even, it cannot be equal afterwards. */
	before = rename_sequence(lock) & ~1u;
#pragma unroll
	for (int group = 0; group < GUARD_LIMIT_GROUPS; group++) {
		const struct guard_verb_row *masks;
		__u32 state;

		if (group >= tables->root.groups)
			break;
		if (!(opening->policies & tables->root.group_mask[group]))
			continue;
		state = device->start[group];
		if (!(state & GUARD_STATE_FINAL)) {
			state = walk_short(tables, opening->dentry, state);
			if (state == WALK_TOO_DEEP)
				return false;
		}
		masks = verb_row(tables, cell(tables, state, GUARD_COLUMN_ROW * sizeof(__u32)) + 1,
				 verb);
		allow |= masks->allow;
		deny |= masks->deny;
		audit |= masks->audit;
		if (opening->verbs == (1 << GUARD_PATH_READ | 1 << GUARD_PATH_WRITE)) {
			masks += GUARD_PATH_WRITE - GUARD_PATH_READ;
			allow &= masks->allow;
			deny |= masks->deny;
			audit |= masks->audit;
		}
		allow = unrefined64(allow, zero);
		deny = unrefined64(deny, zero);
		audit = unrefined64(audit, zero);
	}
	if (rename_sequence(lock) != before)
		return false;
	deny |= tables->root.section[GUARD_SECTION_FILE].default_deny & ~allow;
	return !(opening->policies & (deny | audit));
}

/* The whole way: any depth, any verdict, a record. Returns what the hook returns. */
static __noinline int judge(const struct opening *opening, __u32 flags, __u32 foretold)
{
	const struct tables *tables = opening->tables;
	struct dentry *dentry = opening->dentry;
	__u64 zero = opaque_zero(tables);
	struct report report;
	struct object object;

	begin_object(&object, tables, dentry, opening->device);
	object.subject = 0;
	report.verdict.policies = unrefined64(opening->policies, zero);
	report.verdict.denied = zero;
	report.verdict.by_rule = zero;
	report.verdict.audited = zero;
	report.hook = GUARD_HOOK_FILE_OPEN;
	report.verbs = unrefined(opening->verbs, zero);
	report.reason = zero;
	report.error = zero;
	report.device = dentry->d_sb->s_dev;
	report.flags = unrefined(opening->device ? 0 : GUARD_EVENT_FOREIGN, zero);
	/* Before 6.5 a stacked file's path hides the real inode (open_with_fake_path). */
	if (!opening->device && opening->file->f_inode->i_sb != dentry->d_sb)
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
	struct opening opening;
	struct guard_task *label;
	__u32 flags = 0, foretold = 0;
	__u64 policies = 0, zero;
	const struct tables *tables;
	bool unknown;

	if (ret)
		return ret;
	label = current_label(&unknown);
	if (unknown) {
		policies = policies_by_hand();
		if (policies == POLICIES_UNKNOWN) {
			COUNT(label_failed);
			return -EACCES;
		}
	}
	if (!guard_host && !policies && (!label || !(label->mask | label->pending | label->flags)))
		return 0;
	if (label) {
		/* Pending counts too: an exec's commit cannot be refused, but could be missed. */
		policies = label->mask | label->pending;
		flags = label->flags;
		foretold = label->canary_class;
	}
	tables = current_tables();
	if (!tables) {
		COUNT(unclassified);
		return policies | guard_host ? -EACCES : 0;
	}
	zero = opaque_zero(tables);
	flags = unrefined(flags, zero);
	if (!(flags & GUARD_TASK_EXEMPT))
		policies |= tables->root.host;
	policies = unrefined64(policies & tables->root.section[GUARD_SECTION_FILE].policies, zero);
	if (!policies && !(flags & GUARD_TASK_CANARY))
		return 0;
	if (file->f_flags & FMODE_EXEC)
		return 0;
	if (file->f_mode & FMODE_BACKING && judged_above(tables, file))
		return 0;
	opening.tables = tables;
	opening.file = file;
	opening.dentry = file->f_path.dentry;
	opening.policies = policies;
	opening.device = unrefined(find_device(tables, opening.dentry->d_sb->s_dev), zero);
	/* Before 6.5 the second open has the upper path, by which the first was judged. */
	if (!bpf_core_field_exists(((struct backing_file *)0)->user_path) && opening.device &&
	    file->f_inode->i_sb != opening.dentry->d_sb)
		return 0;
	opening.verbs = unrefined(verbs_of(file), zero);
	if (!(flags & GUARD_TASK_CANARY) && opening.device && plainly_allowed(&opening))
		return 0;
	/* The verifier of 6.12 wants to see that this is 0 or a small negative number. */
	return judge(&opening, flags, unrefined(foretold, zero)) ? -EACCES : 0;
}
