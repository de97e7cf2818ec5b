// SPDX-License-Identifier: Apache-2.0
/*
 * open FILE [HOW]: opens FILE and exits with the errno, or 0.
 * HOW: read (the default), write, both, list, wait (reads a line from standard
 * input first).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const char *how = argc > 2 ? argv[2] : "read";
	int flags = O_RDONLY;
	char byte;

	if (argc < 2)
		return 255;
	if (!strcmp(how, "wait")) {
		if (write(1, "+", 1) != 1)
			return 254;
		if (read(0, &byte, 1) < 0)
			return 254;
	} else if (!strcmp(how, "write")) {
		flags = O_WRONLY;
	} else if (!strcmp(how, "both")) {
		flags = O_RDWR;
	} else if (!strcmp(how, "list")) {
		flags = O_RDONLY | O_DIRECTORY;
	}
	return open(argv[1], flags) < 0 ? errno : 0;
}
