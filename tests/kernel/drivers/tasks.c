// SPDX-License-Identifier: Apache-2.0
/*
 * tasks HOW FILE: a task made in the way HOW opens FILE; exits with its errno, or 0.
 *
 * fork, vfork, thread: a child of that kind. daemon: a grandchild in a session
 * of its own whose parents have gone. exec-in-thread PROGRAM: a thread that is
 * not the leader executes PROGRAM FILE. early-thread: a thread that is there
 * before a byte is read from standard input opens FILE after it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *file, *program;
static int go[2];

static int attempt(void)
{
	return open(file, O_RDONLY) < 0 ? errno : 0;
}

static void *in_thread(void *result)
{
	char byte;

	if (go[0] && read(go[0], &byte, 1) != 1)
		exit(253);
	*(int *)result = attempt();
	return NULL;
}

static void *execute(void *unused)
{
	execl(program, program, file, NULL);
	exit(252);
	return unused;
}

static int status_of(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 251;
	return WEXITSTATUS(status);
}

static int forked(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(attempt());
	return status_of(pid);
}

static int vforked(void)
{
	pid_t pid = vfork();

	if (!pid)
		_exit(attempt());
	return status_of(pid);
}

static int threaded(int early)
{
	pthread_t thread;
	int result = 250;
	char byte;

	if (early && pipe(go))
		return 254;
	if (pthread_create(&thread, NULL, in_thread, &result))
		return 254;
	if (early) {
		if (write(1, "+", 1) != 1 || read(0, &byte, 1) < 0 || write(go[1], "!", 1) != 1)
			return 254;
	}
	pthread_join(thread, NULL);
	return result;
}

static int daemonised(void)
{
	unsigned char result;
	int pipes[2];
	char byte;
	pid_t pid;

	if (pipe(pipes) || pipe(go))
		return 254;
	pid = fork();
	if (!pid) {
		setsid();
		if (fork())
			_exit(0);
		/* The parent has gone when the last writer of this pipe has. */
		close(go[1]);
		if (read(go[0], &byte, 1) != 0)
			_exit(253);
		result = attempt();
		_exit(write(pipes[1], &result, 1) != 1);
	}
	if (status_of(pid))
		return 251;
	close(go[1]);
	return read(pipes[0], &result, 1) == 1 ? result : 250;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc < 3)
		return 255;
	file = argv[argc - 1];
	if (!strcmp(argv[1], "fork"))
		return forked();
	if (!strcmp(argv[1], "vfork"))
		return vforked();
	if (!strcmp(argv[1], "thread"))
		return threaded(0);
	if (!strcmp(argv[1], "early-thread"))
		return threaded(1);
	if (!strcmp(argv[1], "daemon"))
		return daemonised();
	if (!strcmp(argv[1], "exec-in-thread")) {
		program = argv[2];
		if (pthread_create(&thread, NULL, execute, NULL))
			return 254;
		pthread_join(thread, NULL);
	}
	return 255;
}
