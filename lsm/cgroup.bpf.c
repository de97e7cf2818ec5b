// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From a task to the policies of its control group: see cgroup.h. */
#include "cgroup.h"

/* Steps over '/' and the name of a control group's kernfs node. */
__noinline __u32 guard_step_group(const struct tables *tables, __u32 state, __u64 node)
{
	const char *name = (void *)0;
	__u64 word = 0;

	if (!tables)
		return 0;
	bpf_probe_read_kernel(&name, sizeof(name),
			      (void *)node + bpf_core_field_offset(struct kernfs_node, name));
	state = step_slash(tables, state);
	for (int part = 0; part < GROUP_NAME_PARTS; part++) {
		long size = bpf_probe_read_kernel_str(&word, sizeof(word),
						      name + part * GROUP_NAME_PART);

		if (size <= 1)
			break;
		state = guard_step_word(tables, state, word, size - 1);
		if (size - 1 < GROUP_NAME_PART)
			break;
	}
	return state;
}

/* A kernfs node's parent, as a number; 0 for the root and for 0: a read that fails gives 0. */
static __always_inline __u64 kernfs_parent(__u64 node)
{
	__u64 parent = 0;
	__u32 at;

	if (bpf_core_field_exists(((struct kernfs_node___parent *)0)->__parent))
		at = bpf_core_field_offset(((struct kernfs_node___parent *)0)->__parent);
	else
		at = bpf_core_field_offset(((struct kernfs_node___old *)0)->parent);
	bpf_probe_read_kernel(&parent, sizeof(parent), (void *)node + at);
	return parent;
}

/* The kernfs node of the current task's group in the v2 tree, as a number. */
static __always_inline __u64 current_group(struct task_struct *task)
{
	struct css_set *set = (void *)0;
	struct cgroup *cgroup = (void *)0;
	__u64 node = 0;

	bpf_probe_read_kernel(&set, sizeof(set), __builtin_preserve_access_index(&task->cgroups));
	bpf_probe_read_kernel(&cgroup, sizeof(cgroup),
			      __builtin_preserve_access_index(&set->dfl_cgrp));
	bpf_probe_read_kernel(&node, sizeof(node), __builtin_preserve_access_index(&cgroup->kn));
	return node;
}

/*
 * The policies whose subject is the caller's control group. Where its path is
 * too deep to be told, the answer is all that name groups: policies only restrict.
 */
__noinline __u64 guard_cgroup_policies(const struct tables *tables)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 id = bpf_get_current_cgroup_id(), policies, node[CGROUP_DEPTH + 1];
	struct guard_task *label;
	__u32 state;

	if (!tables)
		return 0;
	label = bpf_task_storage_get(&guard_labels, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (label && label->cgroup_generation == tables->root.generation && label->cgroup_id == id)
		return label->cgroup_mask;
	node[0] = current_group(task);
#pragma unroll
	for (int level = 0; level < CGROUP_DEPTH; level++)
		node[level + 1] = kernfs_parent(node[level]);
	policies = tables->root.cgroup;
	if (!node[CGROUP_DEPTH]) {
		state = tables->root.cgroups;
#pragma unroll
		for (int level = CGROUP_DEPTH - 1; level >= 0; level--)
			/* The root has no parent, and no name in a path. */
			if (node[level + 1])
				state = guard_step_group(tables, state, node[level]);
		policies &= verb_row(tables,
				     cell(tables, state, GUARD_COLUMN_ROW * sizeof(__u32)) + 1, 0)
				    ->allow;
	}
	if (label) {
		label->cgroup_generation = 0;
		label->cgroup_mask = policies;
		label->cgroup_id = id;
		label->cgroup_generation = tables->root.generation;
	}
	return policies;
}
