/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counts, and records in the ring. Never changes a verdict. */
#ifndef GUARD_INGRESS_RECORD_H
#define GUARD_INGRESS_RECORD_H

#include "parse.h"

/* Slot 0 has no packets of its own: it numbers this CPU's events. */
static __always_inline __u64 next_sequence(void)
{
	__u32 zero = 0;
	struct ingress_count *all = bpf_map_lookup_elem(&ingress_counts, &zero);

	return all ? all->recorded++ : 0;
}

GLOBAL int record(struct xdp_md *ctx, const struct packet *p, const struct ingress_decision *d,
		  struct ingress_count *count)
{
	struct ingress_event *event;
	__u64 sequence;
	__u32 head;

	if (!p || !d || !count)
		return 0;
	head = p->frame;
	event = bpf_ringbuf_reserve(&ingress_events, sizeof(*event), 0);
	sequence = next_sequence();
	if (!event) {
		count->lost++;
		return 0;
	}
	count->recorded++;
	event->boot_ns = bpf_ktime_get_boot_ns();
	event->sequence = sequence;
	event->suppressed = count->suppressed;
	event->source[0] = p->source_high;
	event->source[1] = p->source_low;
	event->destination[0] = p->destination_high;
	event->destination[1] = p->destination_low;
	event->generation = d->generation;
	event->slot = d->slot;
	event->ifindex = ctx->ingress_ifindex;
	event->cpu = bpf_get_smp_processor_id();
	event->length = p->frame;
	event->source_port = p->source_port;
	event->destination_port = p->destination_port;
	event->vlan = p->vlan;
	event->verdict = d->verdict;
	event->enforced = !d->audit;
	event->reason = d->reason;
	event->family = p->family;
	event->protocol = p->protocol;
	event->tcp_flags = p->tcp_flags;
	event->fragment = p->fragment;
	event->readable = p->readable;
	__builtin_memset(event->reserved, 0, sizeof(event->reserved));
	__builtin_memset(event->head, 0, sizeof(event->head));
	if (head > INGRESS_LIMIT_HEAD)
		head = INGRESS_LIMIT_HEAD;
	/* 1 to 128 bytes, as every verifier sees; a frame has at least 14. */
	bpf_xdp_load_bytes(ctx, 0, event->head, ((head - 1) & (INGRESS_LIMIT_HEAD - 1)) + 1);
	event->head_size = head;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* Counts the decision; records it if it is to be, its turn has come and not too many were. */
static __always_inline void account(struct xdp_md *ctx, const struct packet *p,
				    const struct ingress_decision *d, bool over, bool wanted)
{
	__u32 slot = d->slot; /* on the stack, where 6.1 wants a key */
	struct ingress_count *count = bpf_map_lookup_elem(&ingress_counts, &slot);
	__u64 number;
	__u32 now;

	if (!count)
		return;
	if (over) {
		count->over_bytes += p->frame;
		number = count->over_packets++;
	} else {
		count->bytes += p->frame;
		number = count->packets++;
	}
	if (!wanted)
		return;
	now = bpf_jiffies64();
	if (count->tick != now) {
		count->tick = now;
		count->in_tick = 0;
	}
	if (!d->sample || (d->sample > 1 && number % d->sample) ||
	    count->in_tick >= INGRESS_LIMIT_EVENTS_PER_TICK) {
		count->suppressed++;
		return;
	}
	count->in_tick++;
	record(ctx, p, d, count);
}

/* The same, for where time is less dear than what the verifier has to follow. */
GLOBAL int account_rule(struct xdp_md *ctx, const struct packet *p,
			const struct ingress_decision *d, int wanted)
{
	if (p && d)
		account(ctx, p, d, false, wanted);
	return 0;
}

#endif
