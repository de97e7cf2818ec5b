/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Limits: the generic cell rate algorithm. A bucket is one time, how far in the
 * future the rate's next packet would be; one compare-and-swap takes from it.
 */
#ifndef GUARD_INGRESS_RATES_H
#define GUARD_INGRESS_RATES_H

#include "parse.h"

#define RATE_SHIFT 16 /* times are 2^-16 jiffies */
#define SOURCE_TIME ((1ull << 48) - 1)

/* Takes one packet from a bucket that is `ahead` of now; returns false when it is over. */
static __always_inline bool fits(__u64 *ahead, __u64 cost, __u64 tolerance)
{
	/* More than was ever let in: left over from another limit, or from before a wrap. */
	if (*ahead > tolerance)
		*ahead = 0;
	if (*ahead + cost > tolerance)
		return false;
	*ahead += cost;
	return true;
}

static __noinline int within_rule(__u32 slot, __u64 cost, __u64 tolerance)
{
	__u64 now = bpf_jiffies64() << RATE_SHIFT;
	__u64 *bucket = bpf_map_lookup_elem(&ingress_rates, &slot);

	if (!bucket)
		return false;
	/* Two CPUs at once: the one that loses tries again, and after that gives way. */
	for (int i = 0; i < 4; i++) {
		__u64 old = *(volatile __u64 *)bucket;
		__u64 ahead = old > now ? old - now : 0;

		if (!fits(&ahead, cost, tolerance))
			return false;
		if (__sync_val_compare_and_swap(bucket, old, now + ahead) == old)
			return true;
	}
	return false;
}

/*
 * Two sources share a bucket of two ways. A newcomer takes the place of the one
 * that is less in debt, but never of one that is over its limit: a flood of
 * forged sources lets nobody off. Where both ways are over, the newcomer waits
 * with them.
 */
static __noinline int within_source(const struct packet *p, __u32 slot, __u64 cost, __u64 tolerance)
{
	__u64 now = bpf_jiffies64() << RATE_SHIFT & SOURCE_TIME;
	__u64 hash;
	__u32 key, way = 0;
	struct ingress_source_bucket *bucket;
	__u64 tag, old, other, ahead, ahead_other;

	if (!p)
		return false;
	hash = mix(mix(mix(constants.seed[0], p->source_high), p->source_low), slot);
	key = hash % INGRESS_LIMIT_SOURCE_BUCKETS;
	tag = hash >> 48;
	bucket = bpf_map_lookup_elem(&ingress_sources, &key);
	if (!bucket)
		return false;
	old = *(volatile __u64 *)&bucket->way[0];
	other = *(volatile __u64 *)&bucket->way[1];
	ahead = (old - now) & SOURCE_TIME;
	ahead_other = (other - now) & SOURCE_TIME;
	if (ahead > tolerance)
		ahead = 0;
	if (ahead_other > tolerance)
		ahead_other = 0;
	if (old >> 48 != tag) {
		if (other >> 48 == tag || ahead_other < ahead) {
			way = 1;
			old = other;
			ahead = ahead_other;
		}
		if (old >> 48 != tag) {
			if (ahead + cost > tolerance)
				return false;
			ahead = 0;
		}
	}
	if (!fits(&ahead, cost, tolerance))
		return false;
	__sync_val_compare_and_swap(&bucket->way[way & 1], old,
				    tag << 48 | ((now + ahead) & SOURCE_TIME));
	return true;
}

/* Whether the packet is within the limit; takes from its bucket if so. */
GLOBAL int within(const struct ingress_rate *rate, const struct packet *p)
{
	__u64 cost;

	if (!rate || !p)
		return false;
	cost = ((rate->bytes ? p->length : 1) * rate->multiplier) >> RATE_SHIFT;
	if (rate->by_source)
		return within_source(p, rate->slot, cost, rate->tolerance);
	return within_rule(rate->slot, cost, rate->tolerance);
}

#endif
