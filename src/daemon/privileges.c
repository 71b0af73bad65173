// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/privileges.h"

#include <cap-ng.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static const unsigned int kept[] = { CAP_BPF,    CAP_PERFMON, CAP_NET_ADMIN, CAP_NET_RAW,
				     CAP_SETUID, CAP_SETGID,  CAP_KILL };

#define KEPT_COUNT (sizeof(kept) / sizeof(kept[0]))

static int check_alone(struct error *error)
{
	struct stat status;

	/* One entry for each thread; as a directory it has two links more. */
	if (stat("/proc/self/task", &status) < 0)
		return error_set(error, -errno,
				 "cannot count the daemon's threads: %s; is /proc "
				 "mounted?",
				 strerror(errno));
	if (status.st_nlink > 3)
		return error_set(error, -EBUSY,
				 "cannot give up privileges: %d other threads would keep them",
				 (int)status.st_nlink - 3);
	return 0;
}

int privileges_drop(struct error *error)
{
	bool held[KEPT_COUNT], may_bound;
	int code = check_alone(error);

	if (code < 0)
		return code;
	if (capng_get_caps_process() < 0)
		return error_set(error, -EIO, "cannot read the capabilities of this process");
	for (size_t i = 0; i < KEPT_COUNT; i++)
		held[i] = capng_have_capability(CAPNG_PERMITTED, kept[i]);
	may_bound = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < KEPT_COUNT; i++)
		if (held[i])
			capng_update(CAPNG_ADD,
				     CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
				     kept[i]);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set(error, -errno, "cannot set no_new_privs: %s", strerror(errno));
	/* Who may not lower the bound gains nothing by it either: see no_new_privs. */
	code = capng_apply(may_bound ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS);
	if (code < 0)
		return error_set(error, -EPERM, "cannot give up capabilities (step %d): %s", -code,
				 strerror(errno));
	return 0;
}
