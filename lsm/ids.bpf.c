// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From a task to the policies of its users and groups: see ids.h. */
#include "ids.h"

static __always_inline __u64 policies_for(const struct tables *tables, __u32 kind, __u32 id)
{
	__u32 slot = id * tables->root.id_multiplier >> 16;
	__u64 policies = 0;

#pragma unroll
	for (int i = 0; i < GUARD_LIMIT_ID_PROBES; i++) {
		const struct guard_id *at =
			&tables->root.id[(slot + i) & (GUARD_LIMIT_ID_SLOTS - 1)];

		if (at->id == id && at->kind == kind)
			policies |= at->policies;
	}
	return policies;
}

struct groups {
	const struct tables *tables;
	__u64 first;	/* address of group_info's numbers */
	__u64 policies;
};

/* bpf_loop's callback: one supplementary group. */
static long add_group(__u32 index, struct groups *groups)
{
	__u32 id = 0;

	if (bpf_probe_read_kernel(&id, sizeof(id), (void *)(groups->first + index * sizeof(id))))
		return 1;
	groups->policies |= policies_for(groups->tables, GUARD_ID_GROUP, id);
	return 0;
}

__noinline __u64 guard_id_policies(const struct tables *tables)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct groups groups = { .tables = tables };
	struct cred *cred = (void *)0;
	struct group_info *info = (void *)0;
	/* In the order of struct cred: each user id is followed by its group id. */
	__u32 ids[8] = {}, count = 0;

	if (!tables)
		return 0;
	bpf_probe_read_kernel(&cred, sizeof(cred), __builtin_preserve_access_index(&task->real_cred));
	bpf_probe_read_kernel(ids, sizeof(ids), __builtin_preserve_access_index(&cred->uid));
	bpf_probe_read_kernel(&info, sizeof(info), __builtin_preserve_access_index(&cred->group_info));
	bpf_probe_read_kernel(&count, sizeof(count), __builtin_preserve_access_index(&info->ngroups));
#pragma unroll
	for (int i = 0; i < 8; i += 2) {
		groups.policies |= policies_for(tables, GUARD_ID_USER, ids[i]);
		groups.policies |= policies_for(tables, GUARD_ID_GROUP, ids[i + 1]);
	}
	groups.first = number_of(__builtin_preserve_access_index(&info->gid));
	bpf_loop(count < GROUPS_MAX ? count : GROUPS_MAX, add_group, &groups, 0);
	return groups.policies;
}
