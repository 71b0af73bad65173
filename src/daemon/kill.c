// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/kill.h"

#include "src/base/address.h"
#include "src/base/log.h"
#include "src/daemon/internal.h"
#include "src/daemon/reset_frame.h"
#include "src/datapath/records.h"

#include <errno.h>
#include <net/ethernet.h>
#include <netpacket/packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Records in one go. It ends early after WEIR_KILL_MOST flows, so that two frames for each of them are
 * all that one turn of the loop sends: some milliseconds.
 */
#define CHUNK 16384
#define TICK_MS 1

struct kill_job {
	struct kill_job *next;
	struct weir_kill filter;
	uint32_t place; /* of the record that the next chunk begins with */
	uint64_t killed;
};

struct killer {
	uv_timer_t timer;
	int socket;            /* AF_PACKET: RSTs need the next hop's MAC address, not a route */
	struct kill_job *jobs; /* the first one is under way */
};

/* A frame that is lost does no harm: the datapath answers what this side sends next. */
static void send_reset(const struct daemon *daemon, const struct flow_record *flow,
		       enum weir_direction side)
{
	union weir_flow_control control = flow->flow.control;
	uint16_t id = side == WEIR_FROM_CLIENT ? control.client_hop : control.backend_hop;
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_halen = ETH_ALEN };
	uint8_t frame[RESET_FRAME_MOST];
	const struct weir_hop *hop;
	struct reset_frame reset;

	if (id >= daemon->tables->sizes.hops)
		return;
	hop = &daemon->tables->hops[id];
	if (!(hop->destination.flags & WEIR_HOP_VALID))
		return;
	reset_frame_of(flow, side, &reset);
	memcpy(reset.source_mac, hop->source.mac, ETH_ALEN);
	memcpy(reset.destination_mac,
	       hop->destination.flags & WEIR_HOP_ON_LINK ? flow->flow.client_mac :
							   hop->destination.mac,
	       ETH_ALEN);
	to.sll_ifindex = (int)hop->ifindex;
	memcpy(to.sll_addr, reset.destination_mac, ETH_ALEN);
	if (sendto(daemon->killer->socket, frame, reset_frame_build(&reset, frame), MSG_DONTWAIT,
		   (struct sockaddr *)&to, sizeof(to)) < 0)
		log_debug("a RST could not be sent: %s", strerror(errno));
}

/* As the datapath sees it (bpf/kill.h). */
static bool takes(const struct daemon *daemon, const struct weir_kill *filter,
		  const struct flow_record *flow)
{
	uint32_t backend_id = flow->flow.backend_id;

	return (!filter->backend_id || filter->backend_id == backend_id) &&
	       (!filter->service_id ||
		filter->service_id == daemon->tables->backends[backend_id].service) &&
	       (address_is_zero(&filter->client) ||
		address_equal(&filter->client, &flow->client.source)) &&
	       (!filter->client_port || filter->client_port == flow->client.source_port);
}

/*
 * Tells both ends of the flows that @chunk has killed, since @began (jiffies). Nobody makes the records
 * free meanwhile: only the sweep does, and that is this thread.
 */
static void tell_ends(const struct daemon *daemon, const struct weir_kill *chunk, uint32_t began)
{
	for (uint32_t i = chunk->first; i < chunk->first + chunk->count; i++) {
		struct flow_record flow;

		if (!records_read(daemon->tables, i, &flow) ||
		    flow.flow.control.state != WEIR_FLOW_KILLED ||
		    (int32_t)(flow.flow.last_seen - began) < 0 || !takes(daemon, chunk, &flow))
			continue;
		send_reset(daemon, &flow, WEIR_FROM_CLIENT);
		send_reset(daemon, &flow, WEIR_FROM_BACKEND);
	}
}

/* Returns whether @job is done. */
static bool step(struct daemon *daemon, struct kill_job *job)
{
	uint32_t began = (uint32_t)datapath_jiffies(daemon->datapath);
	struct weir_kill chunk = job->filter;
	int err;

	chunk.first = records_id(daemon->tables, job->place, CHUNK, &chunk.count);
	err = datapath_kill(daemon->datapath, &chunk);
	if (err < 0) {
		log_error("connections could not be killed: %s", strerror(-err));
		return true;
	}
	if (chunk.killed && daemon->killer->socket >= 0)
		tell_ends(daemon, &chunk, began);
	job->killed += chunk.killed;
	job->place += chunk.count;
	if (job->place < records_count(daemon->tables))
		return false;
	log_info("%llu connections killed", (unsigned long long)job->killed);
	return true;
}

static void on_tick(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;
	struct kill_job *job = daemon->killer->jobs;

	if (!step(daemon, job))
		return;
	daemon->killer->jobs = job->next;
	free(job);
	if (!daemon->killer->jobs)
		uv_timer_stop(timer);
}

/* Made when it is needed first. NULL: no memory. */
static struct killer *killer_of(struct daemon *daemon)
{
	struct killer *killer = daemon->killer;

	if (killer)
		return killer;
	killer = calloc(1, sizeof(*killer));
	if (!killer)
		return NULL;
	killer->socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (killer->socket < 0)
		log_warning("killed connections learn of it only when they send next: cannot open "
			    "a packet socket: %s; give weir CAP_NET_RAW",
			    strerror(errno));
	uv_timer_init(&daemon->loop, &killer->timer);
	killer->timer.data = daemon;
	daemon->killer = killer;
	return killer;
}

void kill_flows(struct daemon *daemon, const struct weir_kill *filter)
{
	struct killer *killer = killer_of(daemon);
	struct kill_job *job = calloc(1, sizeof(*job));
	struct kill_job **last;

	if (!killer || !job) {
		log_error("out of memory: connections are not killed");
		free(job);
		return;
	}
	job->filter = *filter;
	for (last = &killer->jobs; *last; last = &(*last)->next)
		;
	*last = job;
	if (!uv_is_active((uv_handle_t *)&killer->timer))
		uv_timer_start(&killer->timer, on_tick, TICK_MS, TICK_MS);
}

void kill_forget_backend(struct daemon *daemon, uint32_t id)
{
	struct kill_job **link = daemon->killer ? &daemon->killer->jobs : NULL;

	while (link && *link) {
		struct kill_job *job = *link;

		if (job->filter.backend_id != id) {
			link = &job->next;
			continue;
		}
		*link = job->next;
		free(job);
	}
	if (daemon->killer && !daemon->killer->jobs)
		uv_timer_stop(&daemon->killer->timer);
}

void kill_free(struct daemon *daemon)
{
	struct killer *killer = daemon->killer;

	if (!killer)
		return;
	while (killer->jobs) {
		struct kill_job *job = killer->jobs;

		killer->jobs = job->next;
		free(job);
	}
	if (killer->socket >= 0)
		close(killer->socket);
	free(killer);
	daemon->killer = NULL;
}
