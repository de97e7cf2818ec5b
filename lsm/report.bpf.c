// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Names into events, as global functions: see report.h. Dentries come as numbers. */
#include "report.h"

static __always_inline __u64 parent_of(__u64 dentry)
{
	__u64 parent = 0;

	bpf_probe_read_kernel(&parent, sizeof(parent),
			      (void *)dentry + bpf_core_field_offset(struct dentry, d_parent));
	return parent;
}

static __always_inline __u32 name_size(__u64 dentry)
{
	__u32 size = 0;

	bpf_probe_read_kernel(&size, sizeof(size),
			      (void *)dentry + bpf_core_field_offset(struct dentry, d_name) +
				      bpf_core_field_offset(struct qstr, len));
	return size & NAME_BYTES;
}

/* Bytes that a writer will want for this dentry. */
__noinline __u32 guard_names_size(__u64 dentry)
{
	__u32 size = 0;

	for (int i = 0; i <= GUARD_LIMIT_DEPTH; i++) {
		__u64 parent = parent_of(dentry);

		if (parent == dentry || !parent)
			break;
		size += name_size(dentry) + 1;
		dentry = parent;
	}
	return size;
}

/*
 * Writes the dentry's names from the leaf upwards, each followed by '/', from
 * ``at`` on. Returns the offset after the last; sets ``flag`` in the event's
 * flags if the names nearest the root did not fit. ``limit`` is a constant, and
 * NAME_BYTES + 1 bytes beyond it are the buffer's too.
 */
static __always_inline __u32 write_names(__u32 *flags, char *bytes, __u32 at, __u64 dentry,
					 __u32 flag, const __u32 limit)
{
	for (int i = 0; i <= GUARD_LIMIT_DEPTH; i++) {
		__u64 parent = parent_of(dentry), name = 0;
		__u32 size = name_size(dentry);

		asm volatile("" : "+r"(at));
		if (at > limit - NAME_BYTES - 1)
			break;
		if (parent == dentry)
			return at;
		bpf_probe_read_kernel(&name, sizeof(name),
				      (void *)dentry +
					      bpf_core_field_offset(struct dentry, d_name) +
					      bpf_core_field_offset(struct qstr, name));
		bpf_probe_read_kernel(bytes + at, size, (void *)name);
		at += size;
		bytes[at] = '/';
		at++;
		dentry = parent;
	}
	*flags |= flag;
	asm volatile("" : "+r"(at));
	return at > limit ? limit : at;
}

__noinline __u32 guard_write_short(struct short_event *event, __u32 at, __u64 dentry, __u32 flag)
{
	if (!event)
		return 0;
	return write_names(&event->event.flags, event->bytes, at, dentry, flag,
			   GUARD_LIMIT_PATHS_SHORT);
}

__noinline __u32 guard_write_long(struct long_event *event, __u32 at, __u64 dentry, __u32 flag)
{
	if (!event)
		return 0;
	return write_names(&event->event.flags, event->bytes, at, dentry, flag,
			   GUARD_LIMIT_PATHS_LONG);
}
