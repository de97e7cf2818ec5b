/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What gates on files have in common, from the hook's arguments to its answer. */
#ifndef GUARD_ENTRY_H
#define GUARD_ENTRY_H

#include "overlay.h"

/* Makes the question of a request whose caller is known. */
static __always_inline void ask(struct request *request, struct dentry *dentry, __u32 verb,
				__u32 other, const __u32 section, const __u32 hook)
{
	__u32 zero = opaque_zero(request->caller.tables);

	request->dentry = dentry;
	request->second = zero;
	request->device = unrefined(find_device(request->caller.tables, dentry->d_sb->s_dev), zero);
	request->verb = unrefined(verb, zero);
	request->other_verb = unrefined(other, zero);
	request->section = section;
	request->hook = hook;
	request->reason = zero;
}

/*
 * Whether the caller is to be judged for what it does at ``dentry``; an overlay's
 * own work in its layers is not.
 */
static __always_inline bool begin_at(struct caller *caller, struct dentry *dentry, int *result,
				     const __u32 section, const __u32 hook)
{
	*result = 0;
	switch (begin(caller, section, hook)) {
	case GATE_PASS:
		return false;
	case GATE_REFUSE:
		*result = -EACCES;
		return false;
	}
	if (inside_overlay(caller->tables))
		return false;
	note_overlay(dentry);
	return true;
}

/* A gate whose object is one name or file: the whole of it. */
static __always_inline int gate_at(struct dentry *dentry, __u32 verb, __u32 other,
				   const __u32 section, const __u32 hook)
{
	struct request request;
	int result;

	if (!begin_at(&request.caller, dentry, &result, section, hook))
		return result;
	ask(&request, dentry, verb, other, section, hook);
	return hook_result(judge(&request));
}

#endif
