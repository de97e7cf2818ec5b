// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Anchors the types of wire.h in BTF so that guard/wire/layout.py can be
 * generated from what clang laid out. Never loaded.
 */
#include <linux/types.h>
#include "wire.h"

#define ANCHOR(kind, name) kind name anchor_##name

ANCHOR(enum, guard_abi);
ANCHOR(enum, guard_limit);
ANCHOR(enum, guard_file_verb);
ANCHOR(enum, guard_hook);
ANCHOR(enum, guard_reason);
ANCHOR(enum, guard_task_flag);
ANCHOR(enum, guard_event_flag);
ANCHOR(enum, guard_state);
ANCHOR(enum, guard_column);
ANCHOR(struct, guard_verb_row);
ANCHOR(struct, guard_row);
ANCHOR(struct, guard_device);
ANCHOR(struct, guard_root);
ANCHOR(struct, guard_task);
ANCHOR(struct, guard_counters);
ANCHOR(struct, guard_event);
