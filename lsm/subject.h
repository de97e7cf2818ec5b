/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From an executable to the policies whose subject it is. */
#ifndef GUARD_SUBJECT_H
#define GUARD_SUBJECT_H

#include "classify.h"

/* Policies whose subject names the executable at ``dentry``. */
static __always_inline __u64 subject_policies(const struct tables *tables, struct dentry *dentry)
{
	struct object object = { .subject = 1 };

	begin_object(&object, tables, dentry, find_device(tables, dentry->d_sb->s_dev));
	classify(&object);
	if (object.reason) {
		/* Policies only restrict, so the safe answer is all of them. */
		COUNT(unclassified);
		return tables->root.exe;
	}
	return verb_row(tables, row_in(&object, 0), 0)->allow & tables->root.exe;
}

#endif
