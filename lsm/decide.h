/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a classified object and the verbs asked for to a verdict: a few ANDs. */
#ifndef GUARD_DECIDE_H
#define GUARD_DECIDE_H

#include "classify.h"

struct verdict {
	__u64 policies;	/* that had a say */
	__u64 denied;	/* of those, whose verdict is deny */
	__u64 by_rule;	/* of the denied, by a deny rule */
	__u64 audited;	/* whose matching rule wants a record */
};

/* Adds what ``verb`` comes to for the policies in ``gated``. */
static __noinline int decide_verb(const struct object *object, struct verdict *verdict, __u32 verb)
{
	__u64 allow = 0, deny = 0, audit = 0;
	__u64 gated = verdict->policies;
	__u64 by_default = object->tables->root.section[GUARD_SECTION_FILE].default_deny;

#pragma unroll
	for (int group = 0; group < GUARD_LIMIT_GROUPS; group++) {
		if (object->row[group]) {
			const struct guard_verb_row *row = verb_row(object->tables, object->row[group], verb);

			allow |= row->allow;
			deny |= row->deny;
			audit |= row->audit;
		}
	}
	verdict->denied |= gated & (deny | (by_default & ~allow));
	verdict->by_rule |= gated & deny;
	verdict->audited |= gated & audit;
	return 0;
}

#endif
