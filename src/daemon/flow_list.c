// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/internal.h"
#include "src/datapath/records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Records that are looked at in one go; the loop has other work to do. */
#define STEP 65536

struct flow_listing {
	struct daemon *daemon;
	struct filter filter;
	uint32_t next; /* place of a record */
	uint32_t now;  /* jiffies */
};

static bool is_wanted(const struct flow_listing *listing, const struct flow_record *flow)
{
	const struct registry *registry = &listing->daemon->registry;

	return flow->flow.backend_id < registry->backend_ids &&
	       registry->backends[flow->flow.backend_id].used &&
	       filter_takes_service(&listing->filter, listing->daemon,
				    registry->backends[flow->flow.backend_id].service) &&
	       filter_takes_backend(&listing->filter, listing->daemon, flow->flow.backend_id) &&
	       filter_takes_client(&listing->filter, &flow->client.source,
				   flow->client.source_port);
}

static json_t *next_flow(void *state)
{
	struct flow_listing *listing = state;
	const struct datapath_tables *tables = listing->daemon->tables;
	uint32_t count = records_count(tables), run;
	uint32_t id = records_id(tables, listing->next, STEP, &run);
	struct flow_record flow;

	while (run--) {
		listing->next++;
		if (records_read(tables, id++, &flow) && is_wanted(listing, &flow))
			return describe_flow(listing->daemon, &flow, listing->now);
	}
	return listing->next < count ? json_null() : NULL;
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
