/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Policies by control group: the path of the caller's group in the cgroup v2
 * tree is classified like any path, by the automaton that begins at
 * root.cgroups. The answer is kept in the task's label together with the
 * group's id and the generation, so that a move to another group, a new group
 * or a new policy set is seen at the next use, with no hook on moving.
 *
 * Not covered: cgroup v1 hierarchies other than the v2 tree that systemd's
 * hybrid layout mounts beside them.
 */
#ifndef GUARD_CGROUP_H
#define GUARD_CGROUP_H

#include "classify.h"

/* Levels below the root that are looked at; deeper groups are judged as all of them. */
#define CGROUP_DEPTH 24

/* Bytes of a name that one read takes; the eighth is the helper's NUL. */
#define GROUP_NAME_PART 7

/* NAME_MAX, uapi/linux/limits.h, in such parts. */
#define GROUP_NAME_PARTS 37

/* Defined once in cgroup.bpf.c; global, so that each is verified once a program. */
__u64 guard_cgroup_policies(const struct tables *tables);
__u32 guard_step_group(const struct tables *tables, __u32 state, __u64 node);

#endif
