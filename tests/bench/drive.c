// SPDX-License-Identifier: Apache-2.0
/*
 * Does one thing many times and prints what one time took.
 *
 *   drive [-a PROFILE] [-l FILE] BATCHES COUNT MODE:PATH...
 *
 * MODE is r, w, b (both) or l (a directory) for an open and a close; s for stat;
 * x for vfork, exec of PATH and wait; m for an executable mapping of PATH and
 * its end; of a UDP socket on 127.0.0.1, with a port for PATH: c for connect,
 * u for sending one byte to a socket that nobody reads, n for socket, bind
 * and close. Each line printed is
 * "MODE:PATH errno minimum median maximum": of BATCHES batches of COUNT times,
 * in nanoseconds, which are instructions in a guest that counts them; of x, a
 * tenth as many. Static, and opens nothing else, so that it needs no more rules.
 *
 * -a: confine itself by this AppArmor profile first. -l: confine itself by
 * Landlock first, with a path-beneath rule for each path that FILE lists.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_BATCHES 100

static void fail(const char *what)
{
	perror(what);
	exit(2);
}

static void enter_profile(const char *name)
{
	char word[256];
	int fd = open("/proc/self/attr/apparmor/current", O_WRONLY);
	int size = snprintf(word, sizeof(word), "changeprofile %s", name);

	if (fd < 0 || write(fd, word, size) != size)
		fail("AppArmor");
	close(fd);
}

static void enter_landlock(const char *list)
{
	const __u64 on_files = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
			       LANDLOCK_ACCESS_FS_EXECUTE;
	const __u64 all = on_files | LANDLOCK_ACCESS_FS_READ_DIR;
	struct landlock_ruleset_attr attributes = { .handled_access_fs = all };
	int ruleset = syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
	FILE *paths = fopen(list, "r");
	char path[4096];

	if (ruleset < 0 || !paths)
		fail("Landlock");
	while (fgets(path, sizeof(path), paths)) {
		struct landlock_path_beneath_attr rule;
		struct stat found;

		path[strcspn(path, "\n")] = 0;
		rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
		if (rule.parent_fd < 0 || fstat(rule.parent_fd, &found))
			fail(path);
		rule.allowed_access = S_ISDIR(found.st_mode) ? all : on_files;
		if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
			fail("landlock_add_rule");
		close(rule.parent_fd);
	}
	fclose(paths);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_landlock_restrict_self, ruleset, 0))
		fail("landlock_restrict_self");
	close(ruleset);
}

/* What a mode works on: made before the first time, all of it of this process alone. */
struct subject {
	char mode;
	int flags, fd;
	const char *path;
	struct sockaddr_in address;
};

static int new_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("socket");
	return fd;
}

static void prepare(struct subject *subject, const char *what)
{
	int sink;

	*subject = (struct subject){ .mode = what[0], .fd = -1, .path = what + 2 };
	subject->address.sin_family = AF_INET;
	subject->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	subject->address.sin_port = htons(atoi(subject->path));
	switch (what[0]) {
	case 'r':
	case 's':
	case 'x':
		break;
	case 'w':
		subject->flags = O_WRONLY;
		break;
	case 'b':
		subject->flags = O_RDWR;
		break;
	case 'l':
		subject->flags = O_DIRECTORY;
		break;
	case 'm':
		subject->fd = open(subject->path, O_RDONLY | O_CLOEXEC);
		break;
	case 'u':
		/* Soon full: what comes then is dropped. */
		sink = new_socket();
		if (bind(sink, (void *)&subject->address, sizeof(subject->address)))
			fail("the receiver");
		subject->fd = new_socket();
		break;
	case 'c':
		subject->fd = new_socket();
		break;
	case 'n':
		break;
	default:
		fprintf(stderr, "no such mode: %c\n", what[0]);
		exit(2);
	}
}

static int execute(const char *path)
{
	char *arguments[] = { (char *)path, NULL };
	int status = 0;
	pid_t pid = vfork();

	if (!pid) {
		execve(path, arguments, NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	if (WEXITSTATUS(status) == 127) {
		errno = EACCES;
		return -1;
	}
	return 0;
}

/* Once. Returns a negative number and sets errno if it failed. */
static int once(const struct subject *subject)
{
	const struct sockaddr *address = (const void *)&subject->address;
	socklen_t size = sizeof(subject->address);
	struct stat found;
	void *memory;
	int fd, result;

	switch (subject->mode) {
	case 's':
		return stat(subject->path, &found);
	case 'x':
		return execute(subject->path);
	case 'm':
		memory = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, subject->fd, 0);
		return memory == MAP_FAILED ? -1 : munmap(memory, 4096);
	case 'c':
		return connect(subject->fd, address, size);
	case 'u':
		return sendto(subject->fd, "x", 1, 0, address, size);
	case 'n':
		fd = new_socket();
		result = bind(fd, address, size);
		close(fd);
		return result;
	}
	fd = open(subject->path, subject->flags);
	return fd < 0 ? fd : close(fd);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(const char *what, int batches, long count)
{
	double took[MAX_BATCHES];
	struct subject subject;
	int error = 0;

	prepare(&subject, what);
	if (subject.mode == 'x')
		count = count / 10 + 1;
	for (int batch = 0; batch < batches; batch++) {
		struct timespec began, ended;

		clock_gettime(CLOCK_MONOTONIC, &began);
		for (long i = 0; i < count; i++)
			if (once(&subject) < 0)
				error = errno;
		clock_gettime(CLOCK_MONOTONIC, &ended);
		took[batch] =
			((ended.tv_sec - began.tv_sec) * 1e9 + (ended.tv_nsec - began.tv_nsec)) /
			count;
	}
	qsort(took, batches, sizeof(*took), compare);
	printf("%s %d %.1f %.1f %.1f\n", what, error, took[0], took[batches / 2],
	       took[batches - 1]);
}

int main(int argc, char **argv)
{
	int option, batches;
	long count;

	while ((option = getopt(argc, argv, "a:l:")) != -1) {
		if (option == 'a')
			enter_profile(optarg);
		else if (option == 'l')
			enter_landlock(optarg);
		else
			return 2;
	}
	if (argc - optind < 3)
		return 2;
	batches = atoi(argv[optind]);
	count = atol(argv[optind + 1]);
	if (batches < 1 || batches > MAX_BATCHES || count < 1)
		return 2;
	for (int at = optind + 2; at < argc; at++)
		measure(argv[at], batches, count);
	return 0;
}
