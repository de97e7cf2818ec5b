/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner loop of guard/audit/fast.py: events that lie in a ring, and what
 * Python said about earlier ones with the same bytes, to lines of JSON.
 *
 * Optional. Python makes every line that is not remembered here, and the tests
 * hold each byte of this against what Python makes. Knows nothing of JSON, of
 * events only where number, moment, processor and the names' sizes stand
 * (guard/audit/native.py passes the rest), and nothing of rings. Little-endian.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ABI 1 /* counts up with any change of what Python sees */

/* A set-associative cache: who looks for something looks at WAYS places, however
 * the keys were chosen. SETS * WAYS entries of about 1.5 KB. */
#define SETS 512
#define WAYS 8
#define FORMS 256
#define SPINE_BYTES 32 /* a SHA-256 */

struct form {
	uint8_t *bytes; /* up to the time, then from behind boot_ns up to the processor */
	uint32_t kind, origin;
};

struct entry {
	uint64_t hash;
	uint32_t key, rest; /* sizes; the bytes are the key and then the rest of the line */
	uint32_t form, crc;
	uint8_t digest[SPINE_BYTES];
	uint8_t doubtful;
	uint8_t *bytes;
};

struct table {
	uint64_t seed;
	uint32_t forms;
	uint8_t turn[SETS];
	struct form form[FORMS];
	struct entry once; /* for the next event only */
	struct entry set[SETS][WAYS];
	uint32_t crc[8][256];
};

struct row {
	uint64_t first;
	uint32_t cpu, count;
};

enum stop {
	DONE = 0,
	UNKNOWN = 1,
	SECOND = 2,
	ROOM = 3
};

struct run {
	const uint8_t *at;	    /* the next event */
	uint32_t stride, left;	    /* events that are not done */
	uint32_t fixed, key, sizes; /* an event's size; where its key and its sizes begin */
	uint32_t skip;		    /* tell the next event's number and make no line of it */
	int64_t begin, after;	    /* the second of wall time that ``second`` is the text of */
	uint8_t second[24];
	uint8_t *body, *spine; /* where the next byte goes */
	uint8_t *body_end, *spine_end;
	uint32_t *sums;
	struct row *rows;
	uint32_t made, unresolved, told, stop;
};

static uint64_t load64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, 8);
	return value;
}

static uint32_t load32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return value;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash(uint64_t seed, const uint8_t *at, uint32_t size)
{
	uint64_t sum = seed ^ size;
	uint8_t last[16] = { 0 };

	for (; size >= 16; at += 16, size -= 16)
		sum = mix(load64(at) ^ 0x9e3779b97f4a7c15, load64(at + 8) ^ sum);
	memcpy(last, at, size);
	sum = mix(load64(last) ^ 0xe7037ed1a0b428db, load64(last + 8) ^ sum);
	return mix(sum ^ seed, 0x8ebc6af09c88c6e3);
}

/* CRC-32 as zlib's, eight bytes at a time (slicing-by-8). */
static uint32_t crc32_of(const struct table *table, uint32_t crc, const uint8_t *at, size_t size)
{
	const uint32_t(*t)[256] = table->crc;

	crc = ~crc;
	for (; size >= 8; at += 8, size -= 8) {
		uint32_t one = load32(at) ^ crc, two = load32(at + 4);

		crc = t[7][one & 255] ^ t[6][one >> 8 & 255] ^ t[5][one >> 16 & 255] ^
		      t[4][one >> 24] ^ t[3][two & 255] ^ t[2][two >> 8 & 255] ^
		      t[1][two >> 16 & 255] ^ t[0][two >> 24];
	}
	while (size--)
		crc = crc >> 8 ^ t[0][(crc ^ *at++) & 255];
	return ~crc;
}

static uint8_t *decimal(uint8_t *to, uint64_t value)
{
	uint8_t digits[20];
	uint32_t count = 0;

	do {
		digits[count++] = '0' + value % 10;
		value /= 10;
	} while (value);
	while (count)
		*to++ = digits[--count];
	return to;
}

static uint8_t *copy(uint8_t *to, const void *from, size_t size)
{
	memcpy(to, from, size);
	return to + size;
}

static void release(struct entry *entry)
{
	free(entry->bytes);
	entry->bytes = NULL;
}

static struct entry *find(struct table *table, uint64_t sum, const uint8_t *key, uint32_t size)
{
	struct entry *set = table->set[sum % SETS];

	for (int way = 0; way < WAYS; way++)
		if (set[way].hash == sum && set[way].bytes && set[way].key == size &&
		    !memcmp(set[way].bytes, key, size))
			return &set[way];
	return NULL;
}

static void tell(struct run *run, uint32_t cpu, uint64_t number)
{
	struct row *row = run->told ? &run->rows[run->told - 1] : NULL;

	if (row && row->cpu == cpu && row->first + row->count == number) {
		row->count++;
		return;
	}
	run->rows[run->told++] = (struct row){ number, cpu, 1 };
}

uint32_t guard_format_abi(void)
{
	return ABI;
}

/* NULL: no memory. */
struct table *guard_format_new(uint64_t seed)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->seed = seed;
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
		table->crc[0][byte] = crc;
	}
	for (int slice = 1; slice < 8; slice++)
		for (int byte = 0; byte < 256; byte++) {
			uint32_t crc = table->crc[slice - 1][byte];

			table->crc[slice][byte] = crc >> 8 ^ table->crc[0][crc & 255];
		}
	return table;
}

void guard_format_clear(struct table *table)
{
	for (int set = 0; set < SETS; set++)
		for (int way = 0; way < WAYS; way++)
			release(&table->set[set][way]);
	release(&table->once);
	for (uint32_t form = 0; form < table->forms; form++)
		free(table->form[form].bytes);
	table->forms = 0;
}

void guard_format_free(struct table *table)
{
	guard_format_clear(table);
	free(table);
}

/* The number of a form with these bytes; -1: no memory, or more forms than there can be. */
int32_t guard_format_form(struct table *table, const uint8_t *kind, uint32_t kind_size,
			  const uint8_t *origin, uint32_t origin_size)
{
	struct form *form = table->form;
	uint32_t number = 0;

	for (; number < table->forms; number++, form++)
		if (form->kind == kind_size && form->origin == origin_size &&
		    !memcmp(form->bytes, kind, kind_size) &&
		    !memcmp(form->bytes + kind_size, origin, origin_size))
			return number;
	if (number == FORMS)
		return -1;
	form->bytes = malloc((size_t)kind_size + origin_size + 1);
	if (!form->bytes)
		return -1;
	copy(copy(form->bytes, kind, kind_size), origin, origin_size);
	form->kind = kind_size;
	form->origin = origin_size;
	table->forms++;
	return number;
}

/* Remembers the rest of the lines of all events with this key; not lasting: of the next one.
 * Returns 0, or -1 if there is no memory. */
int32_t guard_format_put(struct table *table, const uint8_t *key, uint32_t key_size, uint32_t form,
			 const uint8_t *rest, uint32_t rest_size, uint32_t crc,
			 const uint8_t *digest, uint32_t doubtful, uint32_t lasting)
{
	uint64_t sum = hash(table->seed, key, key_size);
	uint32_t set = sum % SETS;
	struct entry *entry = &table->once;
	uint8_t *bytes = malloc((size_t)key_size + rest_size + 1);

	if (!bytes || form >= table->forms) {
		free(bytes);
		return -1;
	}
	if (lasting)
		entry = &table->set[set][table->turn[set]++ % WAYS];
	release(entry);
	copy(copy(bytes, key, key_size), rest, rest_size);
	entry->bytes = bytes;
	entry->hash = sum;
	entry->key = key_size;
	entry->rest = rest_size;
	entry->form = form;
	entry->crc = crc;
	entry->doubtful = !!doubtful;
	memcpy(entry->digest, digest, SPINE_BYTES);
	return 0;
}

/* Makes lines until all is done or something is wanted: see enum stop. */
void guard_format_run(struct table *table, struct run *run)
{
	for (; run->left; run->left--, run->at += run->stride) {
		const uint8_t *event = run->at, *sizes = event + run->sizes;
		const uint8_t *key = event + run->key;
		uint64_t number = load64(event), names;
		int64_t moment = (int64_t)load64(event + 8);
		uint32_t cpu = load32(event + 16), key_size, micros;
		struct entry *entry = NULL;
		struct form *form;
		uint8_t *head, *to = run->body;

		__builtin_prefetch(event + run->stride);
		__builtin_prefetch(event + run->stride + 64);
		__builtin_prefetch(event + run->stride + 128);
		__builtin_prefetch(event + run->stride + 192);
		if (run->skip) {
			run->skip = 0;
			tell(run, cpu, number);
			continue;
		}
		names = (uint64_t)load32(sizes) + load32(sizes + 4) + load32(sizes + 8);
		/* An entry's key was checked against its own record; this one may be shorter. */
		if (run->fixed + names + 8 <= run->stride) { /* 8: the next one's header */
			key_size = run->fixed - run->key + (uint32_t)names;
			if (table->once.bytes)
				entry = &table->once;
			else
				entry = find(table, hash(table->seed, key, key_size), key,
					     key_size);
		}
		if (!entry) {
			run->stop = UNKNOWN;
			return;
		}
		if (moment < run->begin || moment >= run->after) {
			run->stop = SECOND;
			return;
		}
		form = &table->form[entry->form];
		/* 20 of the second, 6, 20 and 10 digits, 20 more, and the words between them. */
		if ((size_t)(run->body_end - to) < form->kind + form->origin + entry->rest + 128 ||
		    (size_t)(run->spine_end - run->spine) <
			    form->kind + form->origin + SPINE_BYTES + 128) {
			run->stop = ROOM;
			return;
		}
		head = to;
		to = copy(to, form->bytes, form->kind);
		to = copy(to, run->second, 20);
		micros = (uint32_t)((moment - run->begin) / 1000);
		for (int digit = 5; digit >= 0; digit--, micros /= 10)
			to[digit] = '0' + micros % 10;
		to = copy(to + 6, "Z\",\"boot_ns\":\"", 14);
		to = decimal(to, (uint64_t)moment);
		to = copy(to, form->bytes + form->kind, form->origin);
		to = decimal(to, cpu);
		to = copy(to, ",\"seq\":", 7);
		to = decimal(to, number);
		*run->sums++ = crc32_of(table, entry->crc, head, to - head);
		run->spine = copy(run->spine, head, to - head);
		*run->spine++ = '\n';
		run->spine = copy(run->spine, entry->digest, SPINE_BYTES);
		run->body = copy(to, entry->bytes + entry->key, entry->rest);
		run->made++;
		run->unresolved += entry->doubtful;
		tell(run, cpu, number);
		if (entry == &table->once)
			release(entry);
	}
	run->stop = DONE;
}
