// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The ingress filter: parse, classify, intersect, act. Rules are data; nothing
 * here knows a rule. The order of precedence is in guard/policy/ingress.py.
 */
#include "flows.h"
#include "maps.h"
#include "parse.h"
#include "rates.h"
#include "record.h"
#include "reply.h"
#include "rows.h"
#include "scratch.h"

#include "egress.h"

/* The next program in the chain, if there is one; else to the stack. */
static __always_inline int let_in(struct xdp_md *ctx, __u32 flags)
{
	if (flags & INGRESS_FLAG_NEXT)
		bpf_tail_call(ctx, &ingress_parts, PART_NEXT);
	return XDP_PASS;
}

/* What a rule of the rules' table is. */
static __always_inline const struct ingress_rule *
rule_at(const __u8 *tables, const struct ingress_root *root, __u32 bit)
{
	return AT(struct ingress_rule, tables, root->rules + bit * sizeof(struct ingress_rule));
}

/*
 * Audit and mirror rules: what matches is recorded as often as the rule says;
 * returns the target of a mirror, from 1, or 0.
 */
static __noinline __u32 observe(struct xdp_md *ctx, const struct packet *p, const __u8 *tables,
				const struct rows *rows)
{
	const struct ingress_root *root = (const void *)tables;
	__u32 at = root->summaries * 8 + 8;
	__u64 word = rows->wide ? common_wide(tables, rows, at) : common(tables, rows, at);
	__u32 mirror = 0;

	for (int i = 0; i < INGRESS_LIMIT_OBSERVERS; i++) {
		const struct ingress_rule *rule;
		struct ingress_decision d = { .reason = INGRESS_REASON_RULE, .verdict = XDP_PASS };

		if (!word)
			break;
		rule = rule_at(tables, root, lowest_bit(word));
		word = (word & (word - 1)) ^ root->zero;
		d.slot = rule->slot;
		d.sample = rule->sample;
		d.generation = root->generation;
		account_rule(ctx, p, &d, rule->action == INGRESS_ACTION_AUDIT);
		if (rule->action == INGRESS_ACTION_MIRROR)
			mirror = rule->target + 1;
	}
	return mirror;
}

/* All limits that match must have room. Sets the slot of the rule that speaks. */
static __noinline bool all_within(const struct packet *p, const __u8 *tables, __u64 word,
				  struct ingress_decision *d)
{
	const struct ingress_root *root = (const void *)tables;

	for (int i = 0; i < INGRESS_LIMIT_RATES; i++) {
		const struct ingress_rate *rate;

		if (!word)
			break;
		rate = &root->rate[lowest_bit(word) & (INGRESS_LIMIT_RATES - 1)];
		word = (word & (word - 1)) ^ root->zero;
		d->slot = rate->slot;
		if (!within(rate, p))
			return false;
	}
	return true;
}

/* A verdict on a packet that was not classified; `s` is this packet's scratch. */
static __always_inline int by_reason(struct xdp_md *ctx, const struct ingress_root *root,
				     struct scratch *s, __u32 reason, __u32 verdict)
{
	struct ingress_decision *d = &s->decision;

	d->slot = d->reason = reason;
	d->verdict = verdict;
	d->sample = root->reason_sample;
	d->generation = root->generation;
	d->audit = root->flags & INGRESS_FLAG_AUDIT;
	account(ctx, &s->packet, d, false, verdict != XDP_PASS);
	return verdict == XDP_PASS || d->audit ? let_in(ctx, root->flags) : verdict;
}

static __noinline bool is_listed(const struct ingress_root *root, __u16 ethertype)
{
	for (int i = 0; i < INGRESS_LIMIT_ETHERTYPES; i++)
		if (root->ethertypes[i] && root->ethertypes[i] == ethertype)
			return true;
	return false;
}

/* Hands on to a part of guard's own; comes back only if it is not there. */
static __always_inline int hand_on(struct xdp_md *ctx, __u32 part)
{
	bpf_tail_call(ctx, &ingress_parts, part);
	return XDP_DROP;
}

/* What a policy on trial comes to: 0 it holds, 1 the one before it does, 2 nothing does. */
static __noinline int trial(struct xdp_md *ctx)
{
	__u32 zero = 0, ifindex = ctx->ingress_ifindex;
	struct ingress_control *control = bpf_map_lookup_elem(&ingress_control, &zero);

	if (!control || !control->deadline || bpf_ktime_get_boot_ns() < control->deadline)
		return 0;
	for (int i = 0; i < INGRESS_LIMIT_FRESH; i++)
		if (control->fresh[i] && control->fresh[i] == ifindex)
			return 2;
	return 1;
}

SEC("xdp")
int guard_ingress(struct xdp_md *ctx)
{
	const __u8 *tables = current_tables();
	const struct ingress_root *root = (const void *)tables;
	const struct ingress_rule *rule;
	struct scratch *s = scratch();
	struct ingress_decision *d;
	struct packet *p;
	struct rows *rows;
	__u32 flags, bit, mirror = 0;
	__u64 limits = 0;
	__s64 final;

	if (!s)
		return XDP_ABORTED;
	p = &s->packet;
	rows = &s->rows;
	d = &s->decision;
	clear(p);
	rows->wide = 0;
	p->frame = (void *)(long)ctx->data_end - (void *)(long)ctx->data;
	if (!tables) {
		d->slot = d->reason = INGRESS_REASON_NO_TABLES;
		d->verdict = XDP_ABORTED;
		d->sample = 1;
		account(ctx, p, d, false, true);
		return XDP_ABORTED;
	}
	flags = root->flags;
	if (flags & INGRESS_FLAG_TRIAL) {
		int over = trial(ctx);

		/* Nobody confirmed in time, and nobody need be there to go back. */
		if (over) {
			const __u8 *before = over == 1 ? tables_in(1) : (void *)0;

			if (!before)
				return by_reason(ctx, root, s, INGRESS_REASON_UNCONFIRMED,
						 XDP_PASS);
			tables = before;
			root = (const void *)tables;
			flags = root->flags;
		}
	}
	if (flags & INGRESS_FLAG_EMPTY)
		return by_reason(ctx, root, s, INGRESS_REASON_EMPTY, XDP_PASS);
	parse(ctx, p);
	if (!p->family && !p->reason) {
		if (is_listed(root, p->ethertype))
			return by_reason(ctx, root, s, INGRESS_REASON_ETHERTYPE, XDP_PASS);
		return by_reason(ctx, root, s, INGRESS_REASON_NOT_IP,
				 flags & INGRESS_FLAG_DROP ? XDP_DROP : XDP_PASS);
	}
	if (p->reason &&
	    (!(flags & INGRESS_FLAG_MATCH_UNREADABLE) || !(p->readable & READABLE_ADDRESSES)))
		return by_reason(ctx, root, s, p->reason, XDP_DROP);
	if (p->fragment == INGRESS_FRAGMENT_LATER) {
		struct flow f = {};

		if (flags & INGRESS_FLAG_DROP_FRAGMENTS)
			return by_reason(ctx, root, s, INGRESS_REASON_FRAGMENT, XDP_DROP);
		fragments_of(p, &f);
		p->tracked = !p->reason && flow_known(&f, constants.fragment_timeout);
	}
	d->reason = INGRESS_REASON_RULE;
	d->sample = 0;
	d->generation = root->generation;
	d->audit = flags & INGRESS_FLAG_AUDIT;
	d->verdict = XDP_PASS;
	classify_source(tables, root, p, rows);
	final = *AT(__s64, tables, rows->source);
	/* Audit rules see every packet, and TTL entries add to a source's rules. */
	if (flags & (INGRESS_FLAG_OBSERVERS | INGRESS_FLAG_TIMED))
		final = INGRESS_FINAL_OPEN;
	if (final == INGRESS_FINAL_NOBODY) {
		bit = NO_RULE;
		flags &= ~INGRESS_FLAG_RATES;
	} else if (final) {
		bit = final - 1;
	} else {
		classify(tables, root, p, ctx, rows);
		if (flags & INGRESS_FLAG_OBSERVERS)
			mirror = observe(ctx, p, tables, rows);
		bit = rows->wide ? first_rule_wide(tables, rows) : first_rule(tables, rows);
	}
	rule = rule_at(tables, root, INGRESS_LIMIT_OBSERVERS + bit);
	if (bit != NO_RULE && rule->action <= INGRESS_ACTION_REJECT) {
		d->verdict = rule->action == INGRESS_ACTION_REJECT ? XDP_TX : XDP_DROP;
		d->slot = rule->slot;
		d->sample = rule->sample;
		account(ctx, p, d, false, true);
		goto act;
	}
	if (flags & INGRESS_FLAG_RATES) {
		__u32 at = root->summaries * 8 + 16;

		limits = rows->wide ? common_wide(tables, rows, at) : common(tables, rows, at);
	}
	if (limits) {
		if (!all_within(p, tables, limits, d)) {
			d->verdict = XDP_DROP;
			d->reason = INGRESS_REASON_RATE;
			d->sample = root->reason_sample;
			account(ctx, p, d, true, true);
			goto act;
		}
	}
	if (bit != NO_RULE && rule->action == INGRESS_ACTION_REDIRECT) {
		d->slot = rule->slot;
		account(ctx, p, d, false, false);
		if (!d->audit) {
			__s64 sent = rule->to_cpu ? bpf_redirect_map(&ingress_cpus, rule->target,
								     XDP_ABORTED)
						  : bpf_redirect_map(&ingress_devices, rule->target,
								     XDP_ABORTED);

			if (sent == XDP_REDIRECT)
				return XDP_REDIRECT;
			return by_reason(ctx, root, s, INGRESS_REASON_NO_TARGET, XDP_ABORTED);
		}
	} else if (limits) {
		account(ctx, p, d, false, false);
	} else if (bit != NO_RULE) {
		d->slot = rule->slot;
		account(ctx, p, d, false, false);
	} else if (p->tracked) {
		d->slot = d->reason = INGRESS_REASON_TRACKED;
		account(ctx, p, d, false, false);
	} else {
		d->slot = d->reason = INGRESS_REASON_DEFAULT;
		d->sample = root->default_sample;
		if ((flags & INGRESS_FLAG_NAMED_TUNNELS) && (p->readable & READABLE_PROTOCOL) &&
		    root->services[p->protocol].tunnel) {
			d->slot = d->reason = INGRESS_REASON_TUNNEL;
			d->verdict = XDP_DROP;
		} else if (p->reason) {
			d->slot = d->reason = p->reason;
			if (flags & INGRESS_FLAG_DROP)
				d->verdict = XDP_DROP;
		} else if (flags & INGRESS_FLAG_DROP) {
			if ((flags & INGRESS_FLAG_NEIGHBOURS) && is_neighbour(p)) {
				d->slot = d->reason = INGRESS_REASON_NEIGHBOUR;
			} else if ((flags & (INGRESS_FLAG_TCP_SOCKETS | INGRESS_FLAG_UDP_FLOWS |
					     INGRESS_FLAG_TCP_FLOWS | INGRESS_FLAG_ICMP)) &&
				   is_return_traffic(ctx, flags, p)) {
				d->slot = d->reason = INGRESS_REASON_ESTABLISHED;
			} else {
				d->verdict = XDP_DROP;
			}
		}
		account(ctx, p, d, false, d->verdict == XDP_DROP);
	}
act:
	if (d->audit)
		d->verdict = XDP_PASS;
	if (d->verdict == XDP_TX)
		return hand_on(ctx, PART_REPLY);
	if (d->verdict != XDP_PASS)
		return d->verdict;
	if (p->fragment == INGRESS_FRAGMENT_FIRST && !(flags & INGRESS_FLAG_DROP_FRAGMENTS)) {
		struct flow f = {};

		fragments_of(p, &f);
		flow_record(&f);
	}
	if ((flags & INGRESS_FLAG_SYN_COOKIES) && !d->audit && p->protocol == PROTOCOL_TCP &&
	    (p->readable & READABLE_PORTS) &&
	    (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN)
		hand_on(ctx, PART_SYN_COOKIE);
	if (mirror && !d->audit)
		mark(ctx, mirror);
	return let_in(ctx, flags);
}

/* Tells user space what a jiffy is: 16 bytes, jiffies and CLOCK_MONOTONIC. */
SEC("xdp")
int guard_ingress_clock(struct xdp_md *ctx)
{
	__u64 *out = BYTES((void *)(long)ctx->data, (void *)(long)ctx->data_end, 0, 16);

	if (!out)
		return XDP_ABORTED;
	out[0] = bpf_jiffies64();
	out[1] = bpf_ktime_get_ns();
	return XDP_PASS;
}

/* So that the types that only casts and tables name reach BTF, and so Python. */
#define ANCHOR(kind, name) const kind name *anchor_##name __attribute__((unused))

ANCHOR(enum, ingress_abi);
ANCHOR(enum, ingress_limit);
ANCHOR(enum, ingress_reason);
ANCHOR(enum, ingress_flag);
ANCHOR(enum, ingress_column);
ANCHOR(enum, ingress_unread);
ANCHOR(enum, ingress_fragment);
ANCHOR(enum, ingress_service_kind);
ANCHOR(enum, ingress_class);
ANCHOR(enum, ingress_final);
ANCHOR(enum, ingress_action);
ANCHOR(enum, ingress_verdict);
ANCHOR(struct, ingress_service);
ANCHOR(struct, ingress_intervals);
ANCHOR(struct, ingress_fine);
ANCHOR(struct, ingress_field_table);
ANCHOR(struct, ingress_shape);
ANCHOR(struct, ingress_rate);
ANCHOR(struct, ingress_rule);
ANCHOR(struct, ingress_interface);
ANCHOR(struct, ingress_root);
ANCHOR(struct, ingress_count);
ANCHOR(struct, ingress_timed);
ANCHOR(struct, ingress_timed_bucket);
ANCHOR(struct, ingress_probe);
ANCHOR(struct, ingress_probes);
ANCHOR(struct, ingress_source_bucket);
ANCHOR(struct, ingress_flow_bucket);
ANCHOR(struct, ingress_ends);
ANCHOR(struct, ingress_ends_bucket);
ANCHOR(struct, ingress_control);
ANCHOR(struct, ingress_top_key);
ANCHOR(struct, ingress_top_count);
ANCHOR(struct, ingress_constants);
ANCHOR(struct, ingress_decision);
ANCHOR(struct, ingress_event);

char LICENSE[] SEC("license") = "Dual BSD/GPL";
