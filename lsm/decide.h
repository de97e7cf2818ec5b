/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From rows of masks and the verbs asked for to a verdict: a few ANDs. */
#ifndef GUARD_DECIDE_H
#define GUARD_DECIDE_H

#include "classify.h"

struct verdict {
	__u64 policies;	   /* that had a say */
	__u64 denied;	   /* of those, whose verdict is deny */
	__u64 by_rule;	   /* of the denied, by a deny rule */
	__u64 audited;	   /* whose matching rule wants a record */
	__u64 killed;	   /* whose deny rule ends the process */
	__u64 other_errno; /* whose deny rule wants the errno that is not the section's */
};

/* What a verdict is made into; filled in by the gate, then by settle. */
struct report {
	struct verdict verdict;
	__u64 second; /* dentry of the other name of a rename or link, or 0 */
	__u32 section;
	__u32 hook;
	__u32 verbs;
	__u32 operation;
	__u32 reason;
	__s32 error;
	__u32 device;
	__u32 flags;
	__u32 target;
	__u32 place; /* of repeats, once it is to be sent (repeat.h) */
};

/* Adds what one row says about one verb to the policies that are judged. */
static __always_inline void weigh(struct verdict *verdict, const struct guard_verb_row *row,
				  __u64 *allow)
{
	*allow |= row->allow;
	verdict->by_rule |= row->deny;
	verdict->audited |= row->audit;
	verdict->killed |= row->kill;
	verdict->other_errno |= row->other_errno;
}

/* Adds what ``verb`` on a classified object comes to. */
static __noinline int decide_verb(const struct object *object, struct report *report, __u32 verb)
{
	struct verdict *verdict = &report->verdict;
	__u64 by_default, allow = 0;
	__u32 section = report->section;

	if (verb >= GUARD_LIMIT_VERBS)
		return 0;
	if (section >= GUARD_LIMIT_SECTIONS)
		section = 0;
	by_default = object->tables->root.section[section].default_deny;
#pragma unroll
	for (int group = 0; group < GUARD_LIMIT_GROUPS; group++)
		if (object->state[group])
			weigh(verdict, verb_row(object->tables, row_in(object, group), verb), &allow);
	verdict->denied |= verdict->by_rule | (by_default & ~allow);
	return 0;
}

/*
 * From the denials to the errno, and to whether there is something to record.
 * What the rows said about policies that are not judged falls away here.
 */
static __noinline int settle(const struct tables *tables, struct report *report)
{
	struct verdict *verdict = &report->verdict;
	__u32 zero = opaque_zero(tables);
	__s32 usual = report->section == GUARD_SECTION_KERNEL ? -EPERM : -EACCES;
	__s32 other = report->section == GUARD_SECTION_KERNEL ? -EACCES : -EPERM;
	__u64 enforced;
	__s32 error = 0;

	if (report->reason != GUARD_REASON_POLICY) {
		/* Fail closed: what cannot be classified, no policy has allowed. */
		verdict->denied = verdict->policies;
		verdict->by_rule = 0;
		verdict->killed = 0;
		verdict->other_errno = 0;
		COUNT(unclassified);
	}
	verdict->denied &= verdict->policies;
	verdict->by_rule &= verdict->denied;
	verdict->audited &= verdict->policies;
	enforced = verdict->denied & tables->root.enforce;
	verdict->killed &= enforced & verdict->by_rule;
	if (enforced) {
		/* Every policy that refuses must agree to an errno that is not the usual one. */
		error = enforced & verdict->other_errno && !(enforced & ~verdict->other_errno)
				? other
				: usual;
		COUNT(denied);
	} else if (verdict->denied) {
		COUNT(audited);
	}
	if (verdict->killed) {
		COUNT(killed);
		bpf_send_signal(SIGKILL_NUMBER);
	}
	report->error = unrefined(error, zero);
	return (verdict->denied | verdict->audited) != 0;
}

#endif
