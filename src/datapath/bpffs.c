// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "src/datapath/internal.h"

#define USUAL_MOUNT "/sys/fs/bpf"

static void cleanup_closedir(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

/* The type of the file system that @path will lie on: that of its nearest parent that exists. */
static int file_system_type(const char *path, unsigned long *ret)
{
	char parent[BPFFS_PATH_SIZE];
	struct statfs status;
	char *slash;

	snprintf(parent, sizeof(parent), "%s", path);
	while (statfs(parent, &status) < 0) {
		slash = strrchr(parent, '/');
		/* EPERM is what bpffs says of a name with a dot; make() explains it. */
		if ((errno != ENOENT && errno != EPERM) || !slash || slash == parent)
			return -errno;
		*slash = '\0';
	}
	*ret = (unsigned long)status.f_type;
	return 0;
}

/* Mounts bpffs at its usual place, if @path lies below it and only sysfs is there. */
static int mount_bpffs(const char *path, struct error *error)
{
	const size_t length = strlen(USUAL_MOUNT);
	struct statfs status;

	if (strncmp(path, USUAL_MOUNT "/", length + 1) != 0 || statfs(USUAL_MOUNT, &status) < 0 ||
	    (unsigned long)status.f_type != SYSFS_MAGIC)
		return error_set(error, -EINVAL,
				 "%s is not on a BPF file system; mount one there ('mount -t bpf "
				 "bpf DIRECTORY') or choose a directory below " USUAL_MOUNT,
				 path);
	if (mount("bpf", USUAL_MOUNT, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return error_set(error, -errno,
				 "cannot mount the BPF file system: %s; as root: 'mount -t bpf "
				 "bpf " USUAL_MOUNT "'",
				 strerror(errno));
	return 0;
}

static int make(const char *path, struct error *error)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	if (errno == EPERM && strchr(path, '.'))
		return error_set(error, -EINVAL,
				 "cannot make the directory %s: the BPF file system takes no names "
				 "with a dot; choose another name",
				 path);
	return error_set(error, -errno, "cannot make the directory %s: %s", path, strerror(errno));
}

int bpffs_make_directory(const char *path, struct error *error)
{
	char part[BPFFS_PATH_SIZE];
	unsigned long type = 0;
	int r;

	/* Below it come names of maps. */
	if (path[0] != '/' || strlen(path) + 64 > sizeof(part))
		return error_set(error, -EINVAL,
				 "directory for pins '%s': expected an absolute path of at most "
				 "%zu bytes",
				 path, sizeof(part) - 64);
	r = file_system_type(path, &type);
	if (r)
		return error_set(error, r, "directory for pins %s: %s", path, strerror(-r));
	if (type != BPF_FS_MAGIC)
		r = mount_bpffs(path, error);
	for (const char *end = path + 1; !r && end; end = strchr(end + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(end - path), path);
		if (end > path + 1)
			r = make(part, error);
	}
	return r ? r : make(path, error);
}

int bpffs_lock(const char *path, int *ret, struct error *error)
{
	struct stat held, there;
	struct statfs system;
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	for (;;) {
		_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			return error_set(error, -errno, "cannot open %s: %s%s", path,
					 strerror(errno), errno == EACCES ? "; become root" : "");
		if (fstatfs(fd, &system) < 0 || (unsigned long)system.f_type != BPF_FS_MAGIC)
			return error_set(error, -EINVAL, "%s is not on a BPF file system", path);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno != EWOULDBLOCK)
			return error_set(error, -errno, "cannot lock %s: %s", path,
					 strerror(errno));
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
			return error_set(error, -EBUSY,
					 "another weir daemon runs as instance '%s' and holds %s; "
					 "see it with 'weir --instance %s status', or choose "
					 "another name with --instance",
					 name, path, name);
		/* Its owner may have removed it between our open() and flock(). */
		if (fstat(fd, &held) == 0 && stat(path, &there) == 0 &&
		    held.st_dev == there.st_dev && held.st_ino == there.st_ino) {
			*ret = fd;
			fd = -1;
			return 0;
		}
	}
}

int bpffs_for_each(const char *directory, int (*take)(const char *path, void *user), void *user)
{
	_cleanup_(cleanup_closedir) DIR *stream = opendir(directory);
	char path[BPFFS_PATH_SIZE];
	struct dirent *entry;
	int r = 0;

	if (!stream)
		return errno == ENOENT ? 0 : -errno;
	while (!r && (entry = readdir(stream)) != NULL) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		r = take(path, user);
	}
	return r;
}
