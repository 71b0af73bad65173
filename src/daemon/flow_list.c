// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Records that are looked at in one go; the loop has other work to do. */
#define STEP 65536

struct flow_listing {
	struct daemon *daemon;
	struct filter filter;
	uint32_t next; /* record */
	uint32_t now;  /* jiffies */
};

/*
 * A record that is a flow, as it was at one moment: nobody changed it between the two looks at its
 * control word, or at least not into another flow.
 */
static bool read_record(const struct weir_flow4 *record, struct weir_flow4 *ret)
{
	union weir_flow_control before, after;

	before.word = __atomic_load_n(&record->control.word, __ATOMIC_ACQUIRE);
	if (!flow_state_name(before.state))
		return false;
	memcpy(ret, record, sizeof(*ret));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	after.word = __atomic_load_n(&record->control.word, __ATOMIC_RELAXED);
	ret->control = before;
	return after.word == before.word;
}

static bool is_wanted(const struct flow_listing *listing, const struct weir_flow4 *flow)
{
	const struct registry *registry = &listing->daemon->registry;

	return flow->backend_id < registry->backend_ids &&
	       registry->backends[flow->backend_id].used &&
	       filter_takes_service(&listing->filter, listing->daemon,
				    registry->backends[flow->backend_id].service) &&
	       filter_takes_backend(&listing->filter, listing->daemon, flow->backend_id) &&
	       filter_takes_client(&listing->filter, flow->client.source, flow->client.source_port);
}

static json_t *next_flow(void *state)
{
	struct flow_listing *listing = state;
	const struct datapath_tables *tables = listing->daemon->tables;
	uint32_t left = tables->records - listing->next;
	uint32_t end = listing->next + (left < STEP ? left : STEP);
	struct weir_flow4 flow;

	while (listing->next < end)
		if (read_record(&tables->flows4[listing->next++], &flow) &&
		    is_wanted(listing, &flow))
			return describe_flow(listing->daemon, &flow, listing->now);
	return end < tables->records ? json_null() : NULL;
}

int flow_list(struct control_request *request, const json_t *arguments, void *user,
	      struct error *error)
{
	struct flow_listing *listing = calloc(1, sizeof(*listing));
	int err;

	if (!listing)
		return error_set(error, -ENOMEM, "the daemon is out of memory");
	listing->daemon = user;
	listing->now = datapath_jiffies(listing->daemon->datapath);
	err = filter_parse(user, arguments, &listing->filter, error);
	if (err < 0) {
		free(listing);
		return err;
	}
	return control_reply_stream(request, next_flow, free, listing);
}
