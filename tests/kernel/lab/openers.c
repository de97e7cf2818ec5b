// SPDX-License-Identifier: Apache-2.0
/*
 * Processes and threads that open the same few files again and again beside
 * each other, and count.
 *
 *   openers ROLE...      each ROLE is one process (or several threads), written
 *                        with ':' between its words; CPU is a number or '-'
 *   watch:CPU:PATH...    open each path in turn
 *   threads:CPU:N:PATH   N threads, each opens the path
 *   rename:CPU:A:B       rename A to B and back
 *   storm:CPU:N:PATH     fork N children, one after the other, each opens the path once
 *
 * It writes "ready", waits for a line, starts all roles, and stops them when
 * standard input ends (a storm ends by itself). Then for each path of each
 * role, in order, one line: attempts opened EACCES ENOENT other. Renames count
 * as opened when they succeeded, forks that failed as other.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_ROLES 16
#define MOST_WORDS 16

struct tally {
	atomic_ulong attempts, opened, denied, absent, other;
};

struct shared {
	atomic_int stop;
	struct tally tally[MOST_ROLES][MOST_WORDS];
};

static struct shared *shared;

static void count(struct tally *tally, int error)
{
	atomic_fetch_add(&tally->attempts, 1);
	if (!error)
		atomic_fetch_add(&tally->opened, 1);
	else if (error == EACCES)
		atomic_fetch_add(&tally->denied, 1);
	else if (error == ENOENT)
		atomic_fetch_add(&tally->absent, 1);
	else
		atomic_fetch_add(&tally->other, 1);
}

static void try(struct tally *tally, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	count(tally, fd < 0 ? errno : 0);
	if (fd >= 0)
		close(fd);
}

static void pin(const char *cpu)
{
	cpu_set_t set;

	if (!strcmp(cpu, "-"))
		return;
	CPU_ZERO(&set);
	CPU_SET(atoi(cpu), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		exit(72);
}

struct thread {
	struct tally *tally;
	const char *path;
};

static void *open_until_stopped(void *argument)
{
	struct thread *thread = argument;

	while (!atomic_load(&shared->stop))
		try(thread->tally, thread->path);
	return NULL;
}

static void storm(struct tally *tally, int children, const char *path)
{
	for (int i = 0; i < children; i++) {
		pid_t pid = fork();

		if (!pid) {
			try(tally, path);
			_exit(0);
		}
		if (pid < 0)
			count(tally, -1);
		/* A few alive at a time: each exits as the next ones are made. */
		while (waitpid(-1, NULL, i % 8 == 7 ? 0 : WNOHANG) > 0)
			;
	}
	while (wait(NULL) > 0)
		;
}

/* One role, in its own process. */
static void play(struct tally *tally, char **word, int words)
{
	pin(word[1]);
	if (!strcmp(word[0], "watch")) {
		while (!atomic_load(&shared->stop))
			for (int i = 2; i < words; i++)
				try(&tally[i - 2], word[i]);
	} else if (!strcmp(word[0], "threads")) {
		struct thread thread = { tally, word[3] };
		int threads = atoi(word[2]);
		pthread_t id;

		for (int i = 0; i < threads; i++)
			if (pthread_create(&id, NULL, open_until_stopped, &thread))
				exit(73);
		while (!atomic_load(&shared->stop))
			sched_yield();
	} else if (!strcmp(word[0], "rename")) {
		while (!atomic_load(&shared->stop)) {
			count(tally, rename(word[2], word[3]) ? errno : 0);
			count(tally, rename(word[3], word[2]) ? errno : 0);
		}
	} else if (!strcmp(word[0], "storm")) {
		storm(tally, atoi(word[2]), word[3]);
	} else {
		exit(64);
	}
	exit(0);
}

int main(int argc, char **argv)
{
	char *words[MOST_ROLES][MOST_WORDS];
	int counts[MOST_ROLES] = { 0 }, roles = argc - 1, failed = 0, status;
	pid_t pids[MOST_ROLES];
	char line[16];

	if (roles < 1 || roles > MOST_ROLES)
		return 64;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		return 71;
	for (int i = 0; i < roles; i++)
		for (char *word = strtok(argv[i + 1], ":"); word; word = strtok(NULL, ":"))
			words[i][counts[i]++] = word;
	puts("ready");
	fflush(stdout);
	if (read(0, line, 1) != 1)
		return 65;
	for (int i = 0; i < roles; i++) {
		pids[i] = fork();
		if (!pids[i])
			play(shared->tally[i], words[i], counts[i]);
	}
	while (read(0, line, 1) > 0)
		;
	atomic_store(&shared->stop, 1);
	for (int i = 0; i < roles; i++) {
		waitpid(pids[i], &status, 0);
		failed |= status;
	}
	for (int i = 0; i < roles; i++)
		for (int j = 0; j < (strcmp(words[i][0], "watch") ? 1 : counts[i] - 2); j++) {
			struct tally *tally = &shared->tally[i][j];

			printf("%lu %lu %lu %lu %lu\n", tally->attempts, tally->opened,
			       tally->denied, tally->absent, tally->other);
		}
	return failed ? 74 : 0;
}
