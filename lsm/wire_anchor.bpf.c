// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Makes every type of wire.h reach the object's BTF, from which
 * guard/wire/layout.py is generated and against which it is checked at load.
 * Without an anchor clang leaves out what only a cast or a reservation names.
 */
#include "wire.h"

#define ANCHOR(kind, name) const kind name *anchor_##name __attribute__((unused))

ANCHOR(enum, guard_abi);
ANCHOR(enum, guard_limit);
ANCHOR(enum, guard_section);
ANCHOR(enum, guard_path_verb);
ANCHOR(enum, guard_net_verb);
ANCHOR(enum, guard_kernel_op);
ANCHOR(enum, guard_hook);
ANCHOR(enum, guard_reason);
ANCHOR(enum, guard_task_flag);
ANCHOR(enum, guard_event_flag);
ANCHOR(enum, guard_state);
ANCHOR(enum, guard_column);
ANCHOR(struct, guard_verb_row);
ANCHOR(struct, guard_row);
ANCHOR(struct, guard_device);
ANCHOR(enum, guard_id_kind);
ANCHOR(struct, guard_id);
ANCHOR(struct, guard_gated);
ANCHOR(struct, guard_root);
ANCHOR(struct, guard_devices);
ANCHOR(struct, guard_task);
ANCHOR(struct, guard_counters);
ANCHOR(struct, guard_merging);
ANCHOR(struct, guard_allowance);
ANCHOR(struct, guard_event);
