// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/internal.h"
#include "src/daemon/notify.h"

#include <stdio.h>
#include <string.h>

/* One line for `systemctl status`. */

static void describe_interfaces(const struct daemon *daemon, char *ret, size_t size)
{
	const size_t count = daemon->config->interface_count;
	size_t attached = 0;

	for (size_t i = 0; i < count; i++)
		attached += daemon->interfaces[i].attached;
	if (attached == count)
		snprintf(ret, size, "forwarding");
	else if (attached)
		snprintf(ret, size, "forwarding on %zu of %zu interfaces", attached, count);
	else
		snprintf(ret, size, "not forwarding, no interface is there");
}

void summary_follow(struct daemon *daemon)
{
	const struct registry *registry = &daemon->registry;
	char text[sizeof(daemon->summary)], state[80];
	size_t up = 0, all = 0;

	if (!daemon->summary_stale)
		return;
	daemon->summary_stale = false;
	describe_interfaces(daemon, state, sizeof(state));
	for (uint32_t id = 1; id <= registry->last_backend; id++) {
		const struct backend *backend = &registry->backends[id];

		if (!backend->used || backend->leaving)
			continue;
		all++;
		up += backend->reachable && backend_is_healthy(backend);
	}
	snprintf(text, sizeof(text), "%s: %u service%s, %zu of %zu backend%s up", state,
		 registry->service_count, registry->service_count == 1 ? "" : "s", up, all,
		 all == 1 ? "" : "s");
	if (!strcmp(text, daemon->summary))
		return;
	strcpy(daemon->summary, text);
	notify_status(text);
}

void summary_end(const struct daemon *daemon)
{
	if (daemon->summary[0])
		notify_status(daemon->detaches ?
				      "stopped, not forwarding" :
				      "forwarding without the daemon: weir detach ends it");
}
