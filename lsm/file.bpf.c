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
#include "overlay.h"

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
	bpf_probe_read_kernel(&sb, sizeof(sb),
			      (void *)user + bpf_core_field_offset(struct dentry, d_sb));
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
	if (file->f_flags & OPEN_TRUNC)
		verbs |= 1 << GUARD_PATH_WRITE;
	else if (file->f_mode & FMODE_WRITE)
		verbs |= file->f_flags & OPEN_APPEND ? 1 << GUARD_PATH_APPEND
						     : 1 << GUARD_PATH_WRITE;
	return verbs;
}

/* An open asks for one verb, or for reading and one that writes. */
static __always_inline void split_verbs(struct request *request, __u32 verbs)
{
	__u32 zero = opaque_zero(request->caller.tables);
	__u32 verb = GUARD_PATH_READ, other = NO_VERB;

	if (verbs & 1 << GUARD_PATH_LIST)
		verb = GUARD_PATH_LIST;
	if (verbs & 1 << GUARD_PATH_WRITE)
		other = GUARD_PATH_WRITE;
	if (verbs & 1 << GUARD_PATH_APPEND)
		other = GUARD_PATH_APPEND;
	if (!(verbs & 1 << GUARD_PATH_READ) && other != NO_VERB) {
		verb = other;
		other = NO_VERB;
	}
	request->verb = unrefined(verb, zero);
	request->other_verb = unrefined(other, zero);
}

/*
 * The quick way to an unremarkable allow, with everything in registers: read,
 * write, both or list, a path of ordinary depth, no rename in between, nothing
 * to record. Returns false for all else, which judge then decides from the
 * start; so it may be too strict (for both verbs it wants one automaton to
 * allow both), but never too kind.
 */
static __noinline int plainly_allowed(const struct request *request, __u32 verbs)
{
	const struct tables *tables = request->caller.tables;
	const struct guard_device *device = device_at(tables, request->device);
	__u64 allow = 0, deny = 0, audit = 0, zero = opaque_zero(tables);
	const struct seqcount *lock;
	__u32 before, verb;

	if (verbs == 1 << GUARD_PATH_READ)
		verb = GUARD_PATH_READ;
	else if (verbs == 1 << GUARD_PATH_WRITE)
		verb = GUARD_PATH_WRITE;
	else if (verbs == 1 << GUARD_PATH_LIST)
		verb = GUARD_PATH_LIST;
	else if (verbs == 1 << GUARD_PATH_APPEND)
		verb = GUARD_PATH_APPEND;
	else if (verbs == 1 << GUARD_PATH_EXEC)
		verb = GUARD_PATH_EXEC;
	else if (verbs == 1 << GUARD_PATH_MAP)
		verb = GUARD_PATH_MAP;
	else if (verbs == (1 << GUARD_PATH_READ | 1 << GUARD_PATH_WRITE))
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
		if (!(request->caller.policies & tables->root.group_mask[group]))
			continue;
		state = device->start[group];
		if (!(state & GUARD_STATE_FINAL) && request->device != DEVICE_ANONYMOUS) {
			state = walk_short(tables, request->dentry, state);
			if (state == WALK_TOO_DEEP)
				return false;
		}
		masks = verb_row(tables, cell(tables, state, GUARD_COLUMN_ROW * sizeof(__u32)) + 1,
				 verb);
		allow |= masks->allow;
		deny |= masks->deny;
		audit |= masks->audit;
		if (verbs == (1 << GUARD_PATH_READ | 1 << GUARD_PATH_WRITE)) {
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
	deny |= tables->root.section[verbs >> GUARD_PATH_EXEC ? GUARD_SECTION_EXEC
							      : GUARD_SECTION_FILE]
			.default_deny &
		~allow;
	return !(request->caller.policies & (deny | audit));
}

SEC("lsm/file_open")
int BPF_PROG(guard_file_open, struct file *file, int ret)
{
	struct request request;
	const struct tables *tables;
	__u32 verbs, zero;

	if (ret)
		return ret;
	switch (begin(&request.caller, GUARD_SECTION_FILE, GUARD_HOOK_FILE_OPEN)) {
	case GATE_PASS:
		return 0;
	case GATE_REFUSE:
		return -EACCES;
	}
	if (file->f_flags & FMODE_EXEC)
		return 0;
	tables = request.caller.tables;
	if (file->f_mode & FMODE_BACKING && judged_above(tables, file))
		return 0;
	zero = opaque_zero(tables);
	request.dentry = file->f_path.dentry;
	request.second = zero;
	request.device = unrefined(find_device(tables, request.dentry->d_sb->s_dev), zero);
	if (request.dentry->d_sb->s_magic == OVERLAY_MAGIC)
		note_overlay(request.dentry);
	/* Before 6.5 the second open has the upper path, by which the first was judged. */
	if (!bpf_core_field_exists(((struct backing_file *)0)->user_path) && request.device &&
	    file->f_inode->i_sb != request.dentry->d_sb)
		return 0;
	verbs = unrefined(verbs_of(file), zero);
	if (!(request.caller.flags & GUARD_TASK_CANARY) && request.device &&
	    plainly_allowed(&request, verbs))
		return 0;
	if (inside_overlay(tables))
		return 0;
	split_verbs(&request, verbs);
	request.section = GUARD_SECTION_FILE;
	request.hook = GUARD_HOOK_FILE_OPEN;
	request.reason = zero;
	/* Before 6.5 a stacked file's path hides the real inode (open_with_fake_path). */
	if (!request.device && file->f_inode->i_sb != request.dentry->d_sb)
		request.reason = unrefined(GUARD_REASON_STACKED, zero);
	return hook_result(judge(&request));
}
