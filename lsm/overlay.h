/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What an overlay does in its layers for a task that was judged already.
 *
 * Overlayfs carries a task's operation out in its layers under the credentials
 * of whoever mounted it (ovl_override_creds), and those operations come to the
 * hooks too, with the layers' paths. Each overlay has a credential object of its
 * own, made at mount (creator_cred); only overlayfs's own code ever makes that a
 * task's current one. So a task whose current credentials are those of an
 * overlay that the host's mount table has is inside that overlay's code, for an
 * operation on a merged path, which the gates have judged. An overlay that the
 * host does not have, which a user name space can mount over anything, does not
 * get that: its operations in the layers are judged by the layers' paths.
 *
 * Which overlay is remembered in the label by the gate that judges the merged
 * path, and looked at anew when it is used. The offset of creator_cred comes
 * from the overlay module's BTF: where the module is loaded after guard,
 * nothing is passed.
 */
#ifndef GUARD_OVERLAY_H
#define GUARD_OVERLAY_H

#include "judge.h"

/* include/uapi/linux/magic.h */
#define OVERLAY_MAGIC 0x794c7630

struct super_block___overlay {
	unsigned long s_magic;
	unsigned int s_dev;
	void *s_fs_info;
} KERNEL_TYPE;

/* fs/overlayfs/ovl_entry.h */
struct ovl_fs {
	const void *creator_cred;
} KERNEL_TYPE;

struct task_struct___creds {
	const void *real_cred;
	const void *cred;
} KERNEL_TYPE;

#define READ_AT(into, base, type, member)          \
	bpf_probe_read_kernel(&(into), sizeof(into), \
			      (void *)(base) + bpf_core_field_offset(type, member))

/* Whether the task is inside the code of an overlay of the host. */
static __noinline int inside_overlay(const struct tables *tables)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 real = 0, effective = 0, creator = 0, info = 0, magic = 0;
	struct guard_task *label;
	__u32 device = 0;
	__u64 overlay;

	if (!bpf_core_field_exists(((struct ovl_fs *)0)->creator_cred))
		return 0;
	READ_AT(real, task, struct task_struct___creds, real_cred);
	READ_AT(effective, task, struct task_struct___creds, cred);
	if (real == effective)
		return 0;
	label = bpf_task_storage_get(&guard_labels, task, 0, 0);
	if (!label)
		return 0;
	overlay = label->overlay;
	if (!overlay)
		return 0;
	READ_AT(magic, overlay, struct super_block___overlay, s_magic);
	READ_AT(device, overlay, struct super_block___overlay, s_dev);
	READ_AT(info, overlay, struct super_block___overlay, s_fs_info);
	if (magic != OVERLAY_MAGIC || !info)
		return 0;
	READ_AT(creator, info, struct ovl_fs, creator_cred);
	return creator == effective && device && find_device(tables, device);
}

/* Remembers the overlay that a task is about to act on. */
static __noinline int note_overlay(struct dentry *dentry)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 sb = number_of(dentry->d_sb);
	struct guard_task *label;
	__u64 magic = 0;

	READ_AT(magic, sb, struct super_block___overlay, s_magic);
	if (magic != OVERLAY_MAGIC)
		return 0;
	label = bpf_task_storage_get(&guard_labels, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (label)
		label->overlay = sb;
	return 0;
}

#endif
