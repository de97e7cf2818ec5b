// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Definitions of the shared maps and variables, and the one licence of the linked object. */
#include "maps.h"

struct current_map guard_current SEC(".maps");
struct labels_map guard_labels SEC(".maps");
struct rings_map guard_rings SEC(".maps");
struct counters_map guard_counters SEC(".maps");

volatile __u64 guard_host SEC(".data.gate") = 0;
volatile __u32 guard_labels_id SEC(".data.labels") = 0;
const volatile bool guard_has_rdonly_cast = false;
const volatile bool guard_has_sk_storage = true;

char LICENSE[] SEC("license") = "Dual BSD/GPL";
