// SPDX-License-Identifier: Apache-2.0
/*
 * The ingress filter under BPF_PROG_TEST_RUN, a batch of packets a call: what
 * Python would take a minute for, the differential test does in seconds.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct filter {
	struct bpf_object *object;
	int program;
	int parts[2];
	int cpus;
};

static char last_log[1 << 16];

static int keep_log(enum libbpf_print_level level, const char *format, va_list arguments)
{
	size_t used = strlen(last_log);

	if (level == LIBBPF_WARN && used < sizeof(last_log) - 1)
		vsnprintf(last_log + used, sizeof(last_log) - used, format, arguments);
	return 0;
}

const char *drive_log(void)
{
	return last_log;
}

static int map_fd(struct filter *f, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(f->object, name);

	return map ? bpf_map__fd(map) : -ENOENT;
}

/* Loads the object for tables of 2^bits bytes. `constants` replaces .rodata's first bytes. */
struct filter *drive_open(const char *path, unsigned value_size, const void *constants,
			  size_t constants_size)
{
	struct filter *f = calloc(1, sizeof(*f));
	struct bpf_map *map;
	size_t size;
	void *initial;
	int inner;
	__u32 key;

	last_log[0] = 0;
	libbpf_set_print(keep_log);
	f->object = bpf_object__open_file(path, NULL);
	if (!f->object)
		return NULL;
	bpf_object__for_each_map(map, f->object)
	{
		if (!strstr(bpf_map__name(map), ".constants"))
			continue;
		initial = (void *)bpf_map__initial_value(map, &size);
		if (initial && size >= constants_size)
			memcpy(initial, constants, constants_size);
		break;
	}
	inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "generation", 4, value_size, 1, NULL);
	bpf_map__set_inner_map_fd(bpf_object__find_map_by_name(f->object, "ingress_current"),
				  inner);
	if (bpf_object__load(f->object))
		return NULL;
	close(inner);
	f->program = bpf_program__fd(bpf_object__find_program_by_name(f->object, "guard_ingress"));
	f->cpus = libbpf_num_possible_cpus();
	f->parts[0] =
		bpf_program__fd(bpf_object__find_program_by_name(f->object, "guard_ingress_reply"));
	f->parts[1] = bpf_program__fd(
		bpf_object__find_program_by_name(f->object, "guard_ingress_syn_cookie"));
	for (key = 0; key < 2; key++)
		bpf_map_update_elem(map_fd(f, "ingress_parts"), &key, &f->parts[key], 0);
	return f;
}

void drive_close(struct filter *f)
{
	bpf_object__close(f->object);
	free(f);
}

int drive_map(struct filter *f, const char *name)
{
	return map_fd(f, name);
}

int drive_program(struct filter *f, const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(f->object, name));
}

/* Makes a generation and switches to it. Returns 0 or -errno. */
int drive_swap(struct filter *f, const void *data, size_t size, unsigned value_size)
{
	int inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "generation", 4, value_size, 1, NULL);
	char *value = calloc(1, value_size);
	__u32 key = 0;
	int error;

	memcpy(value, data, size);
	error = inner < 0 ? inner : bpf_map_update_elem(inner, &key, value, 0);
	if (!error)
		error = bpf_map_update_elem(map_fd(f, "ingress_current"), &key, &inner, 0);
	free(value);
	if (inner >= 0)
		close(inner);
	return error;
}

/*
 * Runs `count` frames, one after another in `frames` at `offsets` (count + 1 of
 * them). `slots` and `reasons` are the decision's, out of scratch. Pin the
 * caller to one CPU, `cpu`. `out` (or NULL) takes the last frame as it left.
 */
int drive_run(struct filter *f, const uint8_t *frames, const uint32_t *offsets, unsigned count,
	      int cpu, uint32_t *verdicts, uint32_t *slots, uint32_t *reasons, uint32_t ifindex,
	      uint8_t *out, uint32_t *out_size)
{
	int scratch = map_fd(f, "ingress_scratch");
	unsigned each = 0;
	__u32 key = 0;
	char *values;
	uint8_t *scrap = malloc(65536);
	int error = 0;
	struct bpf_map_info info = {};
	__u32 info_size = sizeof(info);

	bpf_obj_get_info_by_fd(scratch, &info, &info_size);
	each = (info.value_size + 7) / 8 * 8;
	values = malloc((size_t)each * f->cpus);
	for (unsigned i = 0; i < count && !error; i++) {
		struct xdp_md context = { .ingress_ifindex = ifindex };
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frames + offsets[i],
			    .data_size_in = offsets[i + 1] - offsets[i], .data_out = scrap,
			    .data_size_out = 65536, .repeat = 1);

		if (ifindex) {
			context.data_end = run.data_size_in;
			run.ctx_in = &context;
			run.ctx_size_in = sizeof(context);
		}
		error = bpf_prog_test_run_opts(f->program, &run);
		if (error)
			break;
		error = bpf_map_lookup_elem(scratch, &key, values);
		verdicts[i] = run.retval;
		memcpy(&slots[i], values + (size_t)each * cpu, 4);
		memcpy(&reasons[i], values + (size_t)each * cpu + 4, 4);
		if (out) {
			memcpy(out, scrap, run.data_size_out);
			*out_size = run.data_size_out;
		}
	}
	free(values);
	free(scrap);
	return error;
}

/* Nanoseconds for one run of a program over one frame, as the kernel measured `repeat` runs. */
int drive_time(int program, const uint8_t *frame, unsigned size, int repeat)
{
	uint8_t *scrap = malloc(65536);
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = size,
		    .data_out = scrap, .data_size_out = 65536, .repeat = repeat);
	int error = bpf_prog_test_run_opts(program, &run);

	free(scrap);
	return error ? error : (int)run.duration;
}

struct drained {
	uint8_t *at;
	uint8_t *end;
	int count;
};

static int take(void *context, void *data, size_t size)
{
	struct drained *d = context;

	if (d->at + size > d->end)
		return -ENOSPC;
	memcpy(d->at, data, size);
	d->at += size;
	d->count++;
	return 0;
}

/* Takes the records out of a ring, one after another into `out`. Returns how many. */
int drive_drain(int ring, uint8_t *out, size_t size)
{
	struct drained d = { .at = out, .end = out + size };
	struct ring_buffer *buffer = ring_buffer__new(ring, take, &d, NULL);

	if (!buffer)
		return -errno;
	ring_buffer__consume(buffer);
	ring_buffer__free(buffer);
	return d.count;
}

int drive_update(int map, const void *key, const void *value)
{
	return bpf_map_update_elem(map, key, value, 0);
}

int drive_lookup(int map, const void *key, void *value)
{
	return bpf_map_lookup_elem(map, key, value);
}

/* Sends `count` frames through a program that redirects them, in batches. */
int drive_live(int program, const uint8_t *frame, unsigned size, int count, unsigned batch)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = size, .repeat = count,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = batch);

	return bpf_prog_test_run_opts(program, &run);
}
