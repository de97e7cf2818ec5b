// SPDX-License-Identifier: Apache-2.0
/*
 * Opens and closes files many times and prints what one time took.
 *
 *   drive [-a PROFILE] [-l FILE] BATCHES COUNT MODE:PATH...
 *
 * MODE is r, w, b (both) or l (a directory). Each line printed is
 * "MODE:PATH errno minimum median maximum": of BATCHES batches of COUNT opens,
 * in nanoseconds, which are instructions in a guest that counts them.
 * Static, and opens nothing else, so that it needs no more rules.
 *
 * -a: confine itself by this AppArmor profile first. -l: confine itself by
 * Landlock first, with a path-beneath rule for each path that FILE lists.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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
	const __u64 on_files = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;
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

static int flags_of(char mode)
{
	switch (mode) {
	case 'r':
		return O_RDONLY;
	case 'w':
		return O_WRONLY;
	case 'b':
		return O_RDWR;
	case 'l':
		return O_RDONLY | O_DIRECTORY;
	}
	fprintf(stderr, "no such mode: %c\n", mode);
	exit(2);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(const char *what, int batches, long count)
{
	const char *path = what + 2;
	double took[MAX_BATCHES];
	int flags = flags_of(what[0]);
	int error = 0;

	for (int batch = 0; batch < batches; batch++) {
		struct timespec began, ended;

		clock_gettime(CLOCK_MONOTONIC, &began);
		for (long i = 0; i < count; i++) {
			int fd = open(path, flags);

			if (fd >= 0)
				close(fd);
			else
				error = errno;
		}
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
