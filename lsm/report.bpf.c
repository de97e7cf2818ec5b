// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Names into events, as global functions: see report.h. Dentries come as numbers. */
#include "report.h"

struct sum {
	__u64 dentry;
	__u32 size;
};

/* bpf_loop's callbacks do one name, and return 1 at the root. */
static long add_size(__u32 index, struct sum *sum)
{
	__u64 parent = parent_of(sum->dentry);

	if (parent == sum->dentry)
		return 1;
	sum->size += (name_length(sum->dentry) & NAME_BYTES) + 1;
	sum->dentry = parent;
	return 0;
}

/* ``before``, and the bytes that a writer will want for this dentry. */
__noinline __u32 guard_names_size(__u64 dentry, __u32 before)
{
	struct sum sum = { .dentry = dentry, .size = before };

	bpf_loop(GUARD_LIMIT_DEPTH + 1, add_size, &sum, 0);
	return sum.size;
}

/* What the writers of both kinds of event have in common. */
struct names {
	__u64 dentry;
	__u32 at;
	__u32 flag;
};

/*
 * Writes one name and '/' at names->at and goes on to the parent. ``flag`` is in
 * ``flags`` as long as the root has not been reached. ``limit`` is a constant, and
 * NAME_BYTES + 1 bytes beyond it are the buffer's too.
 */
static __always_inline long write_name(struct names *names, __u32 *flags, char *bytes,
				       const __u32 limit)
{
	__u64 parent = parent_of(names->dentry);
	__u32 size = name_length(names->dentry) & NAME_BYTES, at = names->at;

	if (parent == names->dentry) {
		*flags &= ~names->flag;
		return 1;
	}
	asm volatile("" : "+r"(at));
	if (at > limit - NAME_BYTES - 1)
		return 1;
	asm volatile("" : "+r"(size));
	size &= NAME_BYTES;
	bpf_probe_read_kernel(bytes + at, size, (void *)name_of(names->dentry));
	at += size;
	bytes[at] = '/';
	names->at = at + 1;
	names->dentry = parent;
	return 0;
}

struct short_names {
	struct names names;
	struct short_event *event;
};

struct long_names {
	struct names names;
	struct long_event *event;
};

static long write_short_name(__u32 index, struct short_names *to)
{
	return write_name(&to->names, &to->event->event.flags, to->event->bytes,
			  GUARD_LIMIT_PATHS_SHORT);
}

static long write_long_name(__u32 index, struct long_names *to)
{
	return write_name(&to->names, &to->event->event.flags, to->event->bytes,
			  GUARD_LIMIT_PATHS_LONG);
}

/*
 * Writes the dentry's names from the leaf upwards, each followed by '/', from
 * ``at`` on. Returns the offset after the last; ``flag`` is in the event's flags
 * afterwards if the names nearest the root did not fit.
 */
__noinline __u32 guard_write_short(struct short_event *event, __u32 at, __u64 dentry, __u32 flag)
{
	struct short_names to = { { .dentry = dentry, .at = at, .flag = flag }, event };

	if (!event)
		return 0;
	event->event.flags |= flag;
	bpf_loop(GUARD_LIMIT_DEPTH + 1, write_short_name, &to, 0);
	at = to.names.at;
	asm volatile("" : "+r"(at));
	return at > GUARD_LIMIT_PATHS_SHORT ? GUARD_LIMIT_PATHS_SHORT : at;
}

__noinline __u32 guard_write_long(struct long_event *event, __u32 at, __u64 dentry, __u32 flag)
{
	struct long_names to = { { .dentry = dentry, .at = at, .flag = flag }, event };

	if (!event)
		return 0;
	event->event.flags |= flag;
	bpf_loop(GUARD_LIMIT_DEPTH + 1, write_long_name, &to, 0);
	at = to.names.at;
	asm volatile("" : "+r"(at));
	return at > GUARD_LIMIT_PATHS_LONG ? GUARD_LIMIT_PATHS_LONG : at;
}
