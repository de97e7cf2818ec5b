/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Judging an object that has a path: classified, weighed, recorded. The whole
 * way: any depth, any verdict. Shared by all gates whose objects are files.
 */
#ifndef GUARD_JUDGE_H
#define GUARD_JUDGE_H

#include "gate.h"

/* A verb's number in struct request where there is no second one. */
#define NO_VERB GUARD_LIMIT_VERBS

/* One question to the path automata. */
struct request {
	struct caller caller;
	struct dentry *dentry;
	__u64 second;	  /* for the record: dentry of a rename's or link's other name, or 0 */
	__u32 device;	  /* index for device_at */
	__u32 verb;	  /* enum guard_path_verb */
	__u32 other_verb; /* asked for together with it, or NO_VERB */
	__u32 section;
	__u32 hook;
	__u32 reason; /* nonzero: not to be classified, and why */
};

static __always_inline __u32 request_verbs(const struct request *request)
{
	__u32 verbs = 1u << (request->verb & 31);

	if (request->other_verb != NO_VERB)
		verbs |= 1u << (request->other_verb & 31);
	return verbs;
}

/*
 * From a classified object to a verdict and a record. A canary is denied if,
 * and only if, the kernel classified as user space foretold.
 */
static __noinline int conclude(const struct object *object, const struct request *request)
{
	const struct caller *caller = &request->caller;
	__u32 zero = opaque_zero(caller->tables);
	struct report report;
	__u32 record;

	begin_report(&report, caller, request->section, request->hook, request_verbs(request));
	report.section = unrefined(request->section, zero);
	report.hook = unrefined(request->hook, zero);
	report.second = request->second;
	report.device = request->dentry->d_sb->s_dev;
	report.flags = unrefined(request->device ? 0 : GUARD_EVENT_FOREIGN, zero);
	if (caller->flags & GUARD_TASK_CANARY) {
		if (!caller->canary)
			return 0;
		if (request->hook == GUARD_HOOK_FILE_OPEN &&
		    (object->reason != GUARD_REASON_POLICY ||
		     class_in(object, 0) != caller->foretold))
			return 0;
		report.reason = unrefined(GUARD_REASON_CANARY, zero);
		report.error = unrefined(-EACCES, zero);
		record = unrefined(1, zero);
	} else {
		report.reason = unrefined(object->reason, zero);
		if (object->reason == GUARD_REASON_POLICY) {
			/* Each verb has its own allowed set; the denials add up. */
			decide_verb(object, &report, request->verb);
			if (request->other_verb != NO_VERB)
				decide_verb(object, &report, request->other_verb);
		}
		record = unrefined(settle(caller->tables, &report), zero);
		if (object->nameless && object->reason == GUARD_REASON_POLICY)
			report.reason = unrefined(GUARD_REASON_ANONYMOUS, zero);
	}
	if (record) {
		/* Not in send: the stack. */
		report.place = place_for(caller->tables, &report, address_of(request->dentry),
					 (void *)0);
		if (report.place != NOT_SENT)
			send(object, &report);
	}
	return report.error;
}

/* Returns what the hook returns: 0 or -errno. */
static __noinline int judge(const struct request *request)
{
	__u32 zero = opaque_zero(request->caller.tables);
	struct object object;

	begin_object(&object, request->caller.tables, request->dentry, request->device);
	object.subject = zero;
	if (request->reason)
		object.reason = unrefined(request->reason, zero);
	else
		classify(&object);
	return conclude(&object, request);
}

#endif
