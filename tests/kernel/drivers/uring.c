// SPDX-License-Identifier: Apache-2.0
/*
 * uring HOW FILE: opens FILE through io_uring and exits with the errno, or 0.
 * HOW: inline (while submitting), async (in an io worker), sqpoll (in the
 * kernel's polling thread).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *map(int ring, uint64_t offset, size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, offset);
}

int main(int argc, char **argv)
{
	struct io_uring_params parameters = { 0 };
	struct io_uring_sqe *entries;
	struct io_uring_cqe *result;
	unsigned *tail, *array, flags = IORING_ENTER_GETEVENTS;
	char *submit, *complete;
	int ring;

	if (argc != 3)
		return 255;
	if (!strcmp(argv[1], "sqpoll"))
		parameters.flags = IORING_SETUP_SQPOLL;
	ring = syscall(SYS_io_uring_setup, 4, &parameters);
	if (ring < 0)
		return 254;
	submit = map(ring, IORING_OFF_SQ_RING, parameters.sq_off.array + 4 * sizeof(unsigned));
	complete = map(ring, IORING_OFF_CQ_RING, parameters.cq_off.cqes + 8 * sizeof(*result));
	entries = map(ring, IORING_OFF_SQES, 4 * sizeof(*entries));
	if (submit == MAP_FAILED || complete == MAP_FAILED || entries == MAP_FAILED)
		return 253;
	memset(entries, 0, sizeof(*entries));
	entries->opcode = IORING_OP_OPENAT;
	entries->fd = AT_FDCWD;
	entries->addr = (uintptr_t)argv[2];
	entries->open_flags = O_RDONLY;
	if (!strcmp(argv[1], "async"))
		entries->flags = IOSQE_ASYNC;
	tail = (unsigned *)(submit + parameters.sq_off.tail);
	array = (unsigned *)(submit + parameters.sq_off.array);
	array[*tail & (parameters.sq_entries - 1)] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (parameters.flags & IORING_SETUP_SQPOLL)
		flags |= IORING_ENTER_SQ_WAKEUP;
	if (syscall(SYS_io_uring_enter, ring, 1, 1, flags, NULL, 0) < 0)
		return 252;
	result = (struct io_uring_cqe *)(complete + parameters.cq_off.cqes);
	return result->res < 0 ? -result->res : 0;
}
