// SPDX-License-Identifier: Apache-2.0
/*
 * Too many of something, each with a look at two files: one that is denied to it, one that is not.
 *
 *   crowd together N DENIED ALLOWED   N processes that all live before the first looks
 *   crowd bomb N DENIED ALLOWED       every process forks as long as it can, until N have looked
 *   crowd flood N DENIED ALLOWED      two processes, each opens DENIED N / 2 times, ALLOWED at the
 * end crowd hog MEGABYTES               fills so much memory again and again, until input ends
 *
 * It writes "ready" and waits for a line. At the end one line: what was counted of DENIED
 * (attempts opened EACCES other), the same of ALLOWED, and how many forks failed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct tally {
	atomic_ulong attempts, opened, denied, other;
};

struct shared {
	struct tally denied, allowed;
	atomic_ulong failed, looked, alive;
};

static struct shared *shared;
static const char *denied, *allowed;
static unsigned long number;

static void try(struct tally *tally, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	atomic_fetch_add(&tally->attempts, 1);
	if (fd >= 0) {
		atomic_fetch_add(&tally->opened, 1);
		close(fd);
	} else if (errno == EACCES) {
		atomic_fetch_add(&tally->denied, 1);
	} else {
		atomic_fetch_add(&tally->other, 1);
	}
}

static void look(void)
{
	try(&shared->denied, denied);
	try(&shared->allowed, allowed);
}

static void reap(void)
{
	while (wait(NULL) > 0 || errno == EINTR)
		;
}

/* A pipe that nobody writes to holds them back, until its last writer closes it. */
static void together(void)
{
	int gate[2];
	char byte;

	if (pipe(gate))
		exit(71);
	for (unsigned long i = 0; i < number; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			atomic_fetch_add(&shared->failed, 1);
		} else if (!pid) {
			close(gate[1]);
			atomic_fetch_add(&shared->alive, 1);
			if (read(gate[0], &byte, 1) == 0)
				look();
			_exit(0);
		}
	}
	while (atomic_load(&shared->alive) + atomic_load(&shared->failed) < number)
		usleep(1000);
	close(gate[1]);
	reap();
}

/* One that cannot fork gives up its place, or none would ever be free again. */
static void explode(int first)
{
	while (atomic_load(&shared->looked) < number) {
		pid_t pid = fork();

		if (pid < 0) {
			atomic_fetch_add(&shared->failed, 1);
			if (!first)
				break;
			usleep(1000);
		} else if (!pid) {
			look();
			atomic_fetch_add(&shared->looked, 1);
			explode(0);
			_exit(0);
		}
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	reap();
}

static void flood(void)
{
	for (int half = 0; half < 2; half++) {
		if (fork())
			continue;
		for (unsigned long i = 0; i < number / 2; i++)
			try(&shared->denied, denied);
		try(&shared->allowed, allowed);
		_exit(0);
	}
	reap();
}

/* Ends when there is input, or none will come. */
static void hog(unsigned long bytes)
{
	struct pollfd input = { .fd = 0, .events = POLLIN };

	while (!poll(&input, 1, 0)) {
		pid_t pid = fork();

		if (!pid) {
			char *memory = malloc(bytes);

			if (memory)
				memset(memory, 1, bytes);
			_exit(memory && memory[bytes / 2] == 1 ? 0 : 1);
		}
		if (pid < 0)
			usleep(1000);
		else
			waitpid(pid, NULL, 0);
	}
}

static void show(const struct tally *tally)
{
	printf("%lu %lu %lu %lu ", tally->attempts, tally->opened, tally->denied, tally->other);
}

int main(int argc, char **argv)
{
	char line[2];

	if (argc < 3)
		return 64;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		return 71;
	number = strtoul(argv[2], NULL, 10);
	if (argc > 4) {
		denied = argv[3];
		allowed = argv[4];
	}
	puts("ready");
	fflush(stdout);
	if (read(0, line, 1) != 1)
		return 70;
	if (!strcmp(argv[1], "together"))
		together();
	else if (!strcmp(argv[1], "bomb"))
		explode(1);
	else if (!strcmp(argv[1], "flood"))
		flood();
	else if (!strcmp(argv[1], "hog"))
		hog(number << 20);
	show(&shared->denied);
	show(&shared->allowed);
	printf("%lu\n", shared->failed);
	return 0;
}
