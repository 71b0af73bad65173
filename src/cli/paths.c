// SPDX-License-Identifier: GPL-2.0-only
#include "src/cli/paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PINS_DIRECTORY "/sys/fs/bpf/weir"

/* bpffs refuses names with a dot. */
static void replace_dots(char *name)
{
	for (; *name; name++)
		if (*name == '.')
			*name = '-';
}

static char *pins_of(const char *name, int length)
{
	const char *elsewhere = getenv("WEIR_PINS");
	char *pins;

	if (elsewhere && elsewhere[0])
		return strdup(elsewhere);
	if (asprintf(&pins, PINS_DIRECTORY "/%.*s", length, name) < 0)
		return NULL;
	replace_dots(pins + strlen(PINS_DIRECTORY));
	return pins;
}

int paths_find(const char *socket_path, struct paths *ret)
{
	const char *slash = strrchr(socket_path, '/');
	const char *name = slash ? slash + 1 : socket_path;
	int length = (int)strlen(socket_path);
	struct paths paths = { 0 };

	if (length > 5 && !strcmp(socket_path + length - 5, ".sock"))
		length -= 5;
	if (asprintf(&paths.state, "%.*s.state", length, socket_path) < 0)
		paths.state = NULL;
	if (asprintf(&paths.changes, "%.*s.changes", length, socket_path) < 0)
		paths.changes = NULL;
	paths.pins = pins_of(name, length - (int)(name - socket_path));
	if (!paths.state || !paths.changes || !paths.pins) {
		paths_free(&paths);
		return -ENOMEM;
	}
	*ret = paths;
	return 0;
}

void paths_free(struct paths *paths)
{
	free(paths->state);
	free(paths->changes);
	free(paths->pins);
	*paths = (struct paths){ 0 };
}
