// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int write_all(int fd, const char *text, size_t length)
{
	while (length) {
		ssize_t count = write(fd, text, length);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		text += count;
		length -= count;
	}
	return 0;
}

static int write_draft(const char *path, const char *text, size_t length)
{
	_cleanup_close_ int fd = -1;
	int err;

	/* One that a killed process left may be anything: never written through. */
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	err = write_all(fd, text, length);
	if (err == 0 && fsync(fd) < 0)
		err = -errno;
	if (err < 0)
		unlink(path);
	return err;
}

/* Makes the new name itself last. */
static void sync_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *directory = NULL;
	_cleanup_close_ int fd = -1;

	directory = slash ? strndup(path, slash - path + 1) : strdup(".");
	if (directory)
		fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		fsync(fd);
}

int file_replace(const char *path, const char *text, size_t length)
{
	_cleanup_free_ char *draft = NULL;
	int err;

	if (asprintf(&draft, "%s.new", path) < 0) {
		draft = NULL;
		return -ENOMEM;
	}
	err = write_draft(draft, text, length);
	if (err < 0)
		return err;
	if (rename(draft, path) < 0) {
		err = -errno;
		unlink(draft);
		return err;
	}
	sync_directory(path);
	return 0;
}
