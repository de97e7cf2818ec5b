// SPDX-License-Identifier: Apache-2.0
/*
 * Opens what it is told to and says what errno each open got.
 *
 * Rounds on standard input, until its end:
 *   u32 count, then count times: u32 flags, u32 size, size bytes of path
 * It answers 'r' when it has read the round, waits for one byte, opens, and
 * writes count times an i32 errno (0: opened). Between the waiting byte and the
 * answer it opens nothing else, so that each open is one of the round's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct attempt {
	uint32_t flags;
	char *path;
};

static void get(void *into, size_t size)
{
	if (size && fread(into, size, 1, stdin) != 1)
		exit(70);
}

int main(void)
{
	uint32_t count;

	while (fread(&count, sizeof(count), 1, stdin) == 1) {
		struct attempt *attempts = calloc(count, sizeof(*attempts));
		int32_t *errors = calloc(count, sizeof(*errors));
		char go;

		if (!attempts || !errors)
			return 71;
		for (uint32_t i = 0; i < count; i++) {
			uint32_t size;

			get(&attempts[i].flags, sizeof(attempts[i].flags));
			get(&size, sizeof(size));
			attempts[i].path = calloc(1, size + 1);
			if (!attempts[i].path)
				return 71;
			get(attempts[i].path, size);
		}
		putchar('r');
		fflush(stdout);
		get(&go, 1);
		for (uint32_t i = 0; i < count; i++) {
			int fd = open(attempts[i].path, attempts[i].flags | O_CLOEXEC);

			errors[i] = fd < 0 ? errno : 0;
			if (fd >= 0)
				close(fd);
		}
		fwrite(errors, sizeof(*errors), count, stdout);
		fflush(stdout);
		for (uint32_t i = 0; i < count; i++)
			free(attempts[i].path);
		free(attempts);
		free(errors);
	}
	return 0;
}
