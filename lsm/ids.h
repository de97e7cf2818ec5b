/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Policies by user and group: those of the task's own credentials, looked up at
 * every use, so that a change of user or group counts from the next operation on.
 *
 * The objective credentials (real_cred) say who a task is. What it does for
 * others (an overlay's mounter, an io_uring personality) goes by the subjective
 * ones, and changes nothing here. A policy for a user holds if any of the real,
 * effective, saved and file system ids is the user's, for a group also if it is
 * among the supplementary groups: policies only restrict.
 */
#ifndef GUARD_IDS_H
#define GUARD_IDS_H

#include "automaton.h"

/* NGROUPS_MAX, uapi/linux/limits.h */
#define GROUPS_MAX 65536

/* Defined once in ids.bpf.c; global, so that it is verified once a program. */
__u64 guard_id_policies(const struct tables *tables);

#endif
