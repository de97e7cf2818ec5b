/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counts, and records in the ring. Never changes a verdict. */
#ifndef GUARD_INGRESS_RECORD_H
#define GUARD_INGRESS_RECORD_H

#include "parse.h"

/* ingress_count.turn: the jiffy of the last event and how many it had, then what went before. */
#define TURN_EVENTS 0xfull
#define TURN_TICK 0xfff0ull
#define TURN_SUPPRESSED 16

GLOBAL int record(struct xdp_md *ctx, const struct packet *p, const struct ingress_decision *d,
		  struct ingress_count *count)
{
	struct ingress_event *event;
	struct ingress_count *all;
	__u32 head, zero = 0;
	__u64 sequence;

	/* Slot 0 has no packets of its own: it numbers this CPU's events, and counts the lost. */
	all = bpf_map_lookup_elem(&ingress_counts, &zero);
	if (!p || !d || !count || !all)
		return 0;
	head = p->frame;
	event = bpf_ringbuf_reserve(&ingress_events, sizeof(*event), 0);
	sequence = all->recorded++;
	if (!event) {
		count->lost++;
		all->lost++;
		return 0;
	}
	count->recorded++;
	event->boot_ns = bpf_ktime_get_boot_ns();
	event->sequence = sequence;
	event->suppressed = count->turn >> TURN_SUPPRESSED;
	count->turn &= TURN_TICK | TURN_EVENTS;
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

/* Counts a refused packet for its source, while somebody looks (`guard ingress top`). */
static __noinline int count_source(const struct packet *p, __u32 slot)
{
	struct ingress_top_count *count, one = { .packets = 1, .bytes = p->frame };
	struct ingress_top_key key = { .slot = slot, .family = p->family };
	struct ingress_control *control;
	__u32 zero = 0;

	key.source[0] = p->source_high;
	key.source[1] = p->source_low;
	count = bpf_map_lookup_elem(&ingress_top, &key);
	if (!count) {
		if (!bpf_map_update_elem(&ingress_top, &key, &one, BPF_NOEXIST))
			return 0;
		/* Another CPU was first, or there is no room. */
		count = bpf_map_lookup_elem(&ingress_top, &key);
	}
	if (count) {
		__sync_fetch_and_add(&count->packets, 1);
		__sync_fetch_and_add(&count->bytes, p->frame);
		return 0;
	}
	control = bpf_map_lookup_elem(&ingress_control, &zero);
	if (control)
		__sync_fetch_and_add(&control->unnamed, 1);
	return 0;
}

/* Counts the decision; records it if it is to be, its turn has come and not too many were. */
static __always_inline void account(struct xdp_md *ctx, const struct packet *p,
				    const struct ingress_decision *d, bool over, bool wanted)
{
	__u32 slot = d->slot; /* on the stack, where 6.1 wants a key */
	struct ingress_count *count = bpf_map_lookup_elem(&ingress_counts, &slot);
	__u32 now, zero = 0;
	__u64 number;

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
	if (d->verdict != XDP_PASS) {
		struct ingress_control *control = bpf_map_lookup_elem(&ingress_control, &zero);

		if (control && control->top)
			count_source(p, slot);
	}
	now = bpf_jiffies64() << 4 & TURN_TICK;
	if ((count->turn & TURN_TICK) != now)
		count->turn = (count->turn & ~(TURN_TICK | TURN_EVENTS)) | now;
	if (!d->sample || (d->sample > 1 && number % d->sample) ||
	    (count->turn & TURN_EVENTS) >= INGRESS_LIMIT_EVENTS_PER_TICK) {
		count->suppressed++;
		count->turn += 1ull << TURN_SUPPRESSED;
		return;
	}
	count->turn++;
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
