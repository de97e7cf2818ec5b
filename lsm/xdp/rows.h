/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From classes to rules: rows of bits, one bit a rule, and what all rows have in common. */
#ifndef GUARD_INGRESS_ROWS_H
#define GUARD_INGRESS_ROWS_H

#include "intervals.h"
#include "parse.h"

/* Offsets of the rows that a packet's classes have. */
struct rows {
	__u32 source;
	__u32 destination;
	__u32 service;
	__u32 shape[INGRESS_LIMIT_SHAPES];
	__u32 timed; /* added to the source's */
	__u32 wide;  /* the shapes and timed are there */
	__u32 source_packed;
	__u32 destination_packed;
};

#define NO_RULE 0xffffffff

/* One word of what the three rows that all packets have in common; `at` is its offset. */
static __always_inline __u64 common(const __u8 *tables, const struct rows *rows, __u32 at)
{
	return *AT(__u64, tables, rows->source + at) & *AT(__u64, tables, rows->destination + at) &
	       *AT(__u64, tables, rows->service + at);
}

/* The same with the rows that few policies have. No branch: the verifier would take both. */
static __always_inline __u64 common_wide(const __u8 *tables, const struct rows *rows, __u32 at)
{
	return (*AT(__u64, tables, rows->source + at) | *AT(__u64, tables, rows->timed + at)) &
	       *AT(__u64, tables, rows->destination + at) & *AT(__u64, tables, rows->service + at) &
	       *AT(__u64, tables, rows->shape[0] + at) & *AT(__u64, tables, rows->shape[1] + at) &
	       *AT(__u64, tables, rows->shape[2] + at);
}

/* A deciding word of an address's row, which may be packed; `words` is where they begin. */
static __always_inline __u64 word_of(const __u8 *tables, __u32 row, __u32 packed, __u32 words,
				     __u32 number)
{
	const __u64 *at;
	__u64 word = 0;

	if (!packed)
		return *AT(__u64, tables, row + words + number * 8);
	at = AT(__u64, tables, row + words);
#pragma unroll
	for (int i = 0; i < INGRESS_LIMIT_PACKED; i++) {
		__u64 differs = (at[0] >> 16 * i & 0xffff) ^ number;

		/* All ones where nothing differs, and no branch. */
		differs = (differs - 1) >> 63;
		OPAQUE(differs);
		word |= at[1 + i] & -differs;
	}
	return word;
}

/* One deciding word of what the rows have in common. */
static __always_inline __u64 deciding(const __u8 *tables, const struct rows *rows, __u32 words,
				      __u32 number)
{
	return word_of(tables, rows->source, rows->source_packed, words, number) &
	       word_of(tables, rows->destination, rows->destination_packed, words, number) &
	       *AT(__u64, tables, rows->service + words + number * 8);
}

static __always_inline __u64 deciding_wide(const __u8 *tables, const struct rows *rows, __u32 words,
					   __u32 number)
{
	__u32 at = words + number * 8;

	return (word_of(tables, rows->source, rows->source_packed, words, number) |
		*AT(__u64, tables, rows->timed + at)) &
	       word_of(tables, rows->destination, rows->destination_packed, words, number) &
	       *AT(__u64, tables, rows->service + at) & *AT(__u64, tables, rows->shape[0] + at) &
	       *AT(__u64, tables, rows->shape[1] + at) & *AT(__u64, tables, rows->shape[2] + at);
}

/* A search for the first bit that is in all rows: the summary word under way, what it found. */
struct search {
	const __u8 *tables;
	const struct rows *rows;
	__u64 summary;
	__u32 number; /* of the summary word */
	__u32 found;  /* a rule's bit */
};

#define NOT_YET 0xfffffffe

/* One word, or the next summary word; true when the search is over. */
static __always_inline bool search_on(struct search *s, bool wide)
{
	const struct ingress_root *root = (const void *)s->tables;
	__u32 number;
	__u64 word;

	if (!s->summary) {
		s->number++;
		if (s->number >= root->summaries) {
			s->found = NO_RULE;
			return true;
		}
		number = 8 + (s->number & (INGRESS_LIMIT_SUMMARIES - 1)) * 8;
		s->summary = wide ? common_wide(s->tables, s->rows, number)
				  : common(s->tables, s->rows, number);
		return false;
	}
	number = s->number * 64 + lowest_bit(s->summary);
	/* The verifier is to forget what it knows: one state a round. */
	s->summary = (s->summary & (s->summary - 1)) ^ root->zero;
	word = wide ? deciding_wide(s->tables, s->rows, root->summaries * 8 + 24, number)
		    : deciding(s->tables, s->rows, root->summaries * 8 + 24, number);
	if (!word)
		return false;
	s->found = number * 64 + lowest_bit(word);
	return true;
}

static long search_narrow(__u64 round, void *search)
{
	return search_on(search, false);
}

static long search_wide(__u64 round, void *search)
{
	return search_on(search, true);
}

/* Rounds before the rest goes to a helper: most packets need two or three. */
#define QUICK_ROUNDS 6
#define ALL_ROUNDS (INGRESS_LIMIT_WORDS + INGRESS_LIMIT_SUMMARIES)

/* The first deciding rule that matches: its bit, or NO_RULE. */
static __always_inline __u32 first_rule(const __u8 *tables, const struct rows *rows)
{
	struct search s = { .tables = tables, .rows = rows, .found = NOT_YET };

	s.summary = common(tables, rows, 8);
	for (int i = 0; i < QUICK_ROUNDS; i++)
		if (search_on(&s, false))
			return s.found;
	bpf_loop(ALL_ROUNDS, search_narrow, &s, 0);
	return s.found;
}

static __noinline __u32 first_rule_wide(const __u8 *tables, const struct rows *rows)
{
	struct search s = { .tables = tables, .rows = rows, .found = NOT_YET };

	s.summary = common_wide(tables, rows, 8);
	for (int i = 0; i < QUICK_ROUNDS; i++)
		if (search_on(&s, true))
			return s.found;
	bpf_loop(ALL_ROUNDS, search_wide, &s, 0);
	return s.found;
}

/* The position of one field of a shape. */
static __always_inline __u32 position(const struct ingress_root *root, const struct packet *p,
				      int field, __u32 ifindex)
{
	__u32 unread = p->tracked ? INGRESS_UNREAD_TRACKED : INGRESS_UNREAD_UNREADABLE;
	__u32 slot;

	switch (field) {
	case INGRESS_COLUMN_SOURCE_PORT:
		if ((p->readable & READABLE_PROTOCOL) && !has_ports(p->protocol))
			return 65536 + INGRESS_UNREAD_ABSENT;
		return p->readable & READABLE_PORTS ? p->source_port : 65536 + unread;
	case INGRESS_COLUMN_TCP_FLAGS:
		if ((p->readable & READABLE_PROTOCOL) && p->protocol != PROTOCOL_TCP)
			return 256 + INGRESS_UNREAD_ABSENT;
		return p->readable & READABLE_PORTS ? p->tcp_flags : 256 + unread;
	case INGRESS_COLUMN_FRAGMENT:
		return p->fragment;
	case INGRESS_COLUMN_VLAN:
		return p->vlan;
	case INGRESS_COLUMN_LENGTH:
		return p->length < 65535 ? p->length : 65535;
	default:
		slot = ifindex * root->interface_multiplier >> 24;
		return root->interfaces[slot & 255].index == ifindex
			       ? root->interfaces[slot & 255].number
			       : 0;
	}
}

static __noinline __u32 shape_row(const __u8 *tables, const struct packet *p, __u32 number,
				  __u32 ifindex)
{
	const struct ingress_root *root = (const void *)tables;
	__u32 cell = 0;

	number &= 3;
#pragma unroll
	for (int i = 0; i < INGRESS_COLUMN_COUNT; i++) {
		/* The array ends within the root whatever number is. */
		const struct ingress_field_table *table =
			&root->field[(number > 2 ? 2 : number) * INGRESS_COLUMN_COUNT + i];

		if (table->stride)
			cell += table->stride *
				*AT(__u16, tables,
				    table->table + position(root, p, i, ifindex) * 2);
	}
	return root->shape[number].rows +
	       *AT(__u16, tables, root->shape[number].table + cell * 2) * root->stride;
}

static __always_inline __u32 service_row(const __u8 *tables, const struct ingress_root *root,
					 const struct packet *p)
{
	const struct ingress_service *service = &root->services[p->protocol];
	__u32 at = service->base;

	if (!(p->readable & READABLE_PROTOCOL)) {
		at = root->service_unknown;
		if (p->tracked)
			at += INGRESS_UNREAD_TRACKED;
	} else {
		if (service->kind == INGRESS_SERVICE_PLAIN)
			;
		else if (p->readable & READABLE_PORTS)
			at += p->destination_port;
		else
			at += (service->kind == INGRESS_SERVICE_PORT ? 65536 : 256) +
			      (p->tracked ? INGRESS_UNREAD_TRACKED : INGRESS_UNREAD_UNREADABLE);
	}
	if (!(root->flags & INGRESS_FLAG_SERVICE))
		return root->service_rows;
	return root->service_rows + *AT(__u16, tables, root->service + at * 2) * root->stride;
}

/* The subset of the sets that have a TTL entry for the source, now. */
GLOBAL int timed_sets(const struct packet *p)
{
	__u64 now = bpf_jiffies64();
	struct ingress_probes *probes;
	__u32 zero = 0, subset = 0;

	probes = bpf_map_lookup_elem(&ingress_probes, &zero);
	if (!p || !probes)
		return 0;
	for (int i = 0; i < INGRESS_LIMIT_PROBES; i++) {
		const struct ingress_probe *probe = &probes->probe[i];
		struct ingress_timed_bucket *bucket;
		__u64 tag;
		__u32 key;

		if (!probe->family)
			break;
		if (probe->family != p->family)
			continue;
		tag = mix(constants.seed[0], p->source_high & probe->mask_high);
		tag = mix(tag, p->source_low & probe->mask_low);
		tag = mix(tag, probe->salt);
		key = (tag >> 40) % INGRESS_LIMIT_TIMED_BUCKETS;
		bucket = bpf_map_lookup_elem(&ingress_timed, &key);
		if (!bucket)
			continue;
#pragma unroll
		for (int way = 0; way < 4; way++)
			if (bucket->way[way].tag == tag && bucket->way[way].expiry > now)
				subset |= probe->set;
	}
	return subset & ((1 << INGRESS_LIMIT_TIMED_SETS) - 1);
}

/* The source's row, which may be the whole answer. */
static __always_inline void classify_source(const __u8 *tables, const struct ingress_root *root,
					    const struct packet *p, struct rows *rows)
{
	__u32 class = 0;

	if (p->family == 4) {
		if (root->flags & INGRESS_FLAG_SOURCE4)
			class = class4(tables, &root->source4, p->source_low);
		rows->source = root->source4.rows + class * root->source4.stride;
		rows->source_packed = root->source4.packed;
	} else {
		if (root->flags & INGRESS_FLAG_SOURCE6)
			class = class6(tables, &root->source6, p->source_high, p->source_low);
		rows->source = root->source6.rows + class * root->source6.stride;
		rows->source_packed = root->source6.packed;
	}
}

/* The rows of everything else. */
static __always_inline void classify(const __u8 *tables, const struct ingress_root *root,
				     const struct packet *p, struct xdp_md *ctx, struct rows *rows)
{
	__u32 class = 0;

	if (p->family == 4) {
		if (root->flags & INGRESS_FLAG_DESTINATION4)
			class = class4(tables, &root->destination4, p->destination_low);
		rows->destination = root->destination4.rows + class * root->destination4.stride;
		rows->destination_packed = root->destination4.packed;
	} else {
		if (root->flags & INGRESS_FLAG_DESTINATION6)
			class = class6(tables, &root->destination6, p->destination_high,
				       p->destination_low);
		rows->destination = root->destination6.rows + class * root->destination6.stride;
		rows->destination_packed = root->destination6.packed;
	}
	rows->service = service_row(tables, root, p);
	rows->wide = root->flags & INGRESS_FLAG_WIDE;
	if (!rows->wide)
		return;
	/* Subset 0's row adds nothing, and the row of ones takes nothing. */
	rows->timed = root->timed_rows;
	if (root->flags & INGRESS_FLAG_TIMED)
		rows->timed += timed_sets(p) * root->stride;
	for (int i = 0; i < INGRESS_LIMIT_SHAPES; i++)
		rows->shape[i] = i < root->shapes ? shape_row(tables, p, i, ctx->ingress_ifindex)
						  : root->ones;
}

#endif
