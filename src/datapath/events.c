// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/libbpf.h>
#include <errno.h>

#include "src/datapath/internal.h"
#include "weir.skel.h"

#define EVENTS_AT_ONCE 256

/* Stops libbpf from reading on for as long as new events come in. */
static int take_event(void *user, void *data, size_t size)
{
	struct datapath *datapath = user;

	if (size >= sizeof(struct weir_event))
		datapath->take(data, datapath->take_user);
	return --datapath->events_left ? 0 : -EAGAIN;
}

int datapath_open_events(struct datapath *datapath, datapath_event_fn take, void *user)
{
	if (!datapath->events) {
		datapath->events = ring_buffer__new(bpf_map__fd(datapath->skeleton->maps.events),
						    take_event, datapath, NULL);
		if (!datapath->events)
			return -errno;
	}
	datapath->take = take;
	datapath->take_user = user;
	return 0;
}

int datapath_events_fd(const struct datapath *datapath)
{
	return ring_buffer__epoll_fd(datapath->events);
}

int datapath_poll_events(struct datapath *datapath)
{
	int taken;

	datapath->events_left = EVENTS_AT_ONCE;
	taken = ring_buffer__consume(datapath->events);
	return taken < 0 && taken != -EAGAIN ? taken : 0;
}
