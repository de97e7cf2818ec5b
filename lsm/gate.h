/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every gate does first: who calls, and which policies have a say.
 *
 * A gate is a program on an LSM hook. It asks begin() for the caller's policies
 * in its section; only where there are some does it look at the object.
 */
#ifndef GUARD_GATE_H
#define GUARD_GATE_H

#include "report.h"
#include "cgroup.h"
#include "ids.h"

struct caller {
	const struct tables *tables;
	__u64 policies; /* that gate the section, for this task */
	__u32 flags;	/* enum guard_task_flag */
	__u32 canary;	/* with CANARY: nonzero if this hook is the one to deny */
	__u32 foretold; /* class that the canary's object must have (file_open) */
};

/* What a gate is to do after begin(). */
enum {
	GATE_PASS = 0, /* no policy has a say */
	GATE_JUDGE = 1,
	GATE_REFUSE = 2, /* the task's policies cannot be told */
};

/*
 * Finds the caller's policies for a section. ``hook`` is the gate's own, for the
 * canary. Everything is unrefined: to the verifier all callers look alike.
 */
static __always_inline int begin(struct caller *caller, const __u32 section, const __u32 hook)
{
	struct guard_task *label;
	__u64 policies = 0, zero;
	__u32 flags = 0, canary = 0, foretold = 0;
	const struct tables *tables;
	bool unknown;

	label = current_label(&unknown);
	if (unknown) {
		policies = policies_by_hand();
		if (policies == POLICIES_UNKNOWN) {
			COUNT(label_failed);
			return GATE_REFUSE;
		}
	}
	if (!guard_host && !policies && (!label || !(label->mask | label->pending | label->flags)))
		return GATE_PASS;
	if (label) {
		/* Pending counts too: an exec's commit cannot be refused, but could be missed. */
		policies = label->mask | label->pending;
		flags = label->flags;
		canary = label->canary_hook == hook;
		foretold = label->canary_class;
	}
	tables = current_tables();
	if (!tables) {
		COUNT(unclassified);
		return policies | guard_host ? GATE_REFUSE : GATE_PASS;
	}
	zero = opaque_zero(tables);
	flags = unrefined(flags, zero);
	if (!(flags & GUARD_TASK_EXEMPT)) {
		policies |= tables->root.host;
		if (tables->root.cgroup)
			policies |= guard_cgroup_policies(tables);
		if (tables->root.ids)
			policies |= guard_id_policies(tables);
	}
	policies = unrefined64(policies & tables->root.section[section].policies, zero);
	if (!policies && !(flags & GUARD_TASK_CANARY))
		return GATE_PASS;
	caller->tables = tables;
	caller->policies = policies;
	caller->flags = flags;
	caller->canary = unrefined(canary, zero);
	caller->foretold = unrefined(foretold, zero);
	return GATE_JUDGE;
}

/* Begins a report with everything opaque that settle and send look at. */
static __always_inline void begin_report(struct report *report, const struct caller *caller,
					 const __u32 section, const __u32 hook, __u32 verbs)
{
	__u64 zero = opaque_zero(caller->tables);

	report->verdict.policies = unrefined64(caller->policies, zero);
	report->verdict.denied = zero;
	report->verdict.by_rule = zero;
	report->verdict.audited = zero;
	report->verdict.killed = zero;
	report->verdict.other_errno = zero;
	report->second = zero;
	report->section = section;
	report->hook = hook;
	report->verbs = unrefined(verbs, zero);
	report->operation = zero;
	report->reason = zero;
	report->error = zero;
	report->device = zero;
	report->flags = zero;
	report->target = zero;
}

/*
 * The canary of a gate other than file_open: the hook that it names denies, and
 * no other. Returns whether it is one.
 */
static __always_inline bool is_canary(const struct caller *caller)
{
	return caller->flags & GUARD_TASK_CANARY;
}

static __noinline int send_canary(const struct caller *caller,
							  struct report *report)
{
	report->reason = unrefined(GUARD_REASON_CANARY, opaque_zero(caller->tables));
	report->error = unrefined(-EACCES, opaque_zero(caller->tables));
	/* No repeat of anything: each is waited for. */
	report->place = opaque_zero(caller->tables);
	send_placed(caller->tables, report, (void *)0, opaque_zero(caller->tables));
	return -EACCES;
}

/*
 * The verifier of 6.12 wants to see that a hook returns 0 or a small negative
 * number: an errno that came through memory is one of the two that there are.
 */
static __always_inline int hook_result(int error)
{
	if (error == -EPERM)
		return -EPERM;
	return error ? -EACCES : 0;
}

#endif
