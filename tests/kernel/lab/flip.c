// SPDX-License-Identifier: Apache-2.0
/*
 * flip DENIED ALLOWED TRIES: one thread opens a path while another turns it from one file's
 * into the other's and back, in the same memory. The paths are equally long. Prints how
 * often the open gave the file that holds "denied", one that holds anything else, EACCES.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int ended;
static char path[4096];
static const char *sides[2];
static size_t size;

static void *turn(void *unused)
{
	while (!atomic_load(&ended))
		for (int side = 0; side < 2; side++)
			memcpy(path, sides[side], size);
	return unused;
}

int main(int argc, char **argv)
{
	unsigned long wrong = 0, right = 0, refused = 0;
	pthread_t thread;

	if (argc != 4 || strlen(argv[1]) != strlen(argv[2]))
		return 64;
	sides[0] = argv[1];
	sides[1] = argv[2];
	size = strlen(argv[1]);
	memcpy(path, sides[0], size);
	if (pthread_create(&thread, NULL, turn, NULL))
		return 71;
	for (unsigned long tries = strtoul(argv[3], NULL, 10); tries; tries--) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		char first = 0;

		if (fd < 0) {
			refused += errno == EACCES;
			continue;
		}
		if (read(fd, &first, 1) == 1 && first == 'd')
			wrong++;
		else
			right++;
		close(fd);
	}
	atomic_store(&ended, 1);
	pthread_join(thread, NULL);
	printf("%lu %lu %lu\n", wrong, right, refused);
	return 0;
}
