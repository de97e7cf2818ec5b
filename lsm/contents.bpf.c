// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Contents of executables: a subject that says sha256 has no other ones.
 *
 * bprm_check_security: for the file given to execve and again for each
 *   interpreter. Where a policy with sha256 has this file's path as its subject,
 *   the kernel hashes the file, which exec has closed to writers, and it is not
 *   started unless its hash is one of the policy's. So no other file can take
 *   the place of the program that the policy was written for.
 *
 * Sleepable, because hashing reads the file; so not under RCU. The file holds
 * its dentry and every dentry holds its parent, until a rename: a name read while
 * one is under way is discarded with the walk (classify.h).
 *
 * Not covered here: tasks that ran before the policy; writers during the
 * exec on 6.11 and 6.12, which do not shut them out (fs/exec.c, 2a010c412853 until
 * 3b832035387f); libraries and what an interpreter reads.
 */
#include "entry.h"
#include "subject.h"

/* uapi/linux/hash_info.h. The kernel's own choice: ima_hash= on its command line. */
#define HASH_ALGO_SHA256 4

struct digest {
	__u64 word[GUARD_LIMIT_DIGEST / 8];
};

/* The policies that have a digest among their subject's contents. */
static __always_inline __u64 policies_with(const struct tables *tables, const struct digest *digest)
{
	__u64 policies = 0;

	for (int i = 0; i < GUARD_LIMIT_CONTENTS; i++) {
		const struct guard_content *content = &tables->root.content[i];
		__u64 differs = 0;

#pragma unroll
		for (int word = 0; word < GUARD_LIMIT_DIGEST / 8; word++)
			differs |= content->sha256[word] ^ digest->word[word];
		if (!differs)
			policies |= content->policies;
	}
	return policies;
}

/* Refuses, or records under audit, the start of a program with other contents. */
static __noinline int refuse_contents(const struct caller *caller, struct dentry *dentry)
{
	const struct tables *tables = caller->tables;
	__u32 zero = opaque_zero(tables);
	struct object object = {};
	struct report report;

	object.tables = tables;
	object.dentry = dentry;
	begin_report(&report, caller, GUARD_SECTION_EXEC, GUARD_HOOK_BPRM_CHECK_SECURITY,
		     1 << GUARD_PATH_EXEC);
	report.device = dentry->d_sb->s_dev;
	report.reason = unrefined(GUARD_REASON_CONTENTS, zero);
	if (is_canary(caller))
		return send_canary(caller, &report);
	if (settle(tables, &report)) {
		report.place = place_for(tables, &report, address_of(dentry), (void *)0);
		if (report.place != NOT_SENT)
			send(&object, &report);
	}
	return report.error;
}

SEC("lsm.s/bprm_check_security")
int BPF_PROG(guard_exec_contents, struct linux_binprm *bprm, int ret)
{
	const struct tables *tables;
	struct guard_task *label;
	struct digest digest = {};
	struct caller caller = {};
	struct dentry *dentry;
	bool unknown, canary;
	long algorithm;
	__u64 policies;

	if (ret)
		return ret;
	tables = current_tables();
	if (!tables)
		return 0;
	label = current_label(&unknown);
	canary = label && label->flags & GUARD_TASK_CANARY;
	if (canary && !(label->flags & GUARD_TASK_CANARY_CONTENTS))
		return 0;
	/* A canary is answered whatever the policies say: it asks whether the hook is there. */
	if (!canary && !tables->root.contents)
		return 0;
	dentry = bprm->file->f_path.dentry;
	policies = subject_policies(tables, dentry) & tables->root.contents;
	if (!policies && !canary)
		return 0;
	algorithm = bpf_ima_file_hash(bprm->file, &digest, sizeof(digest));
	if (algorithm == HASH_ALGO_SHA256) {
		if (!canary)
			policies &= ~policies_with(tables, &digest);
	} else if (canary) {
		/* Not denied, so that user space sees that this kernel cannot do it. */
		return 0;
	}
	if (!policies && !canary)
		return 0;
	caller.tables = tables;
	caller.policies = policies;
	caller.flags = canary ? GUARD_TASK_CANARY : 0;
	return hook_result(refuse_contents(&caller, dentry));
}
