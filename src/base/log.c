// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static enum log_level log_most_verbose = LOG_LEVEL_INFO;

void log_set_level(enum log_level most_verbose)
{
	log_most_verbose = most_verbose;
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARNING:
		return "warning";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_DEBUG:
		return "debug";
	}
	return "unknown";
}

/* A process started from a service's shell inherits JOURNAL_STREAM, so the file must match too. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat status;

	if (!stream || sscanf(stream, "%llu:%llu", &device, &inode) != 2)
		return false;
	if (fstat(STDERR_FILENO, &status) < 0)
		return false;
	return status.st_dev == device && status.st_ino == inode;
}

void log_write(enum log_level level, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	if (level > log_most_verbose)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	for (char *c = text; *c; c++)
		if (*c == '\n' || *c == '\r')
			*c = ' ';
	if (stderr_is_journal())
		dprintf(STDERR_FILENO, "<%d>%s\n", (int)level, text);
	else
		dprintf(STDERR_FILENO, "weir: %s: %s\n", level_name(level), text);
}
