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

/* A backend that is cut as a whole. */
struct cut {
	struct cut *next;
	uint32_t backend_id;
	uint32_t left; /* records that the walk has not come to since the backend was marked */
};

struct killer {
	uv_timer_t timer;
	int socket;            /* AF_PACKET: RSTs need the next hop's MAC address, not a route */
	struct kill_job *jobs; /* the first one is under way, once nothing is left to cut */
	struct cut *cuts;
	uint32_t place; /* of their walk, which goes round and round */
	uint64_t killed;
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
	reset.vlan = hop->vlan;
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

	return (!filter->marked || daemon->tables->backends[backend_id].cut) &&
	       (!filter->backend_id || filter->backend_id == backend_id) &&
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

/* Some records from @place on, at most @most. Returns how many it came to, or an error. */
static int64_t step(struct daemon *daemon, const struct weir_kill *filter, uint32_t place,
		    uint32_t most, uint64_t *killed)
{
	uint32_t began = (uint32_t)datapath_jiffies(daemon->datapath);
	struct weir_kill chunk = *filter;
	int err;

	chunk.first = records_id(daemon->tables, place, most, &chunk.count);
	err = datapath_kill(daemon->datapath, &chunk);
	if (err < 0) {
		log_error("connections could not be killed: %s", strerror(-err));
		return err;
	}
	if (chunk.killed && daemon->killer->socket >= 0)
		tell_ends(daemon, &chunk, began);
	*killed += chunk.killed;
	return chunk.count;
}

static void log_killed(uint64_t killed)
{
	log_info("%llu connections killed", (unsigned long long)killed);
}

static void step_job(struct daemon *daemon, struct killer *killer)
{
	struct kill_job *job = killer->jobs;
	int64_t done = step(daemon, &job->filter, job->place, CHUNK, &job->killed);

	if (done >= 0) {
		job->place += done;
		if (job->place < records_count(daemon->tables))
			return;
		log_killed(job->killed);
	}
	killer->jobs = job->next;
	free(job);
}

/* The backend may have new flows that live. */
static void end_cut(struct daemon *daemon, struct cut **link)
{
	struct cut *cut = *link;

	*link = cut->next;
	daemon->tables->backends[cut->backend_id].cut = 0;
	free(cut);
}

static void step_cuts(struct daemon *daemon, struct killer *killer)
{
	const struct weir_kill filter = { .marked = 1 };
	uint32_t most = CHUNK;
	struct cut **link;
	int64_t done;

	for (const struct cut *cut = killer->cuts; cut; cut = cut->next)
		if (cut->left < most)
			most = cut->left;
	done = step(daemon, &filter, killer->place, most, &killer->killed);
	if (done >= 0)
		killer->place = (killer->place + done) % records_count(daemon->tables);
	for (link = &killer->cuts; *link;) {
		(*link)->left -= done >= 0 ? (uint32_t)done : (*link)->left;
		if ((*link)->left)
			link = &(*link)->next;
		else
			end_cut(daemon, link);
	}
	if (killer->cuts)
		return;
	log_killed(killer->killed);
	killer->killed = 0;
}

static void stop_if_idle(struct killer *killer)
{
	if (!killer->cuts && !killer->jobs)
		uv_timer_stop(&killer->timer);
}

static void on_tick(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;
	struct killer *killer = daemon->killer;

	if (killer->cuts)
		step_cuts(daemon, killer);
	else
		step_job(daemon, killer);
	stop_if_idle(killer);
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

static bool add_job(struct killer *killer, const struct weir_kill *filter)
{
	struct kill_job *job = calloc(1, sizeof(*job));
	struct kill_job **last;

	if (!job)
		return false;
	job->filter = *filter;
	for (last = &killer->jobs; *last; last = &(*last)->next)
		;
	*last = job;
	return true;
}

/* From where the walk is now it goes round once more for this one. */
static bool add_cut(struct daemon *daemon, struct killer *killer, uint32_t backend_id)
{
	struct cut *cut;

	for (cut = killer->cuts; cut && cut->backend_id != backend_id; cut = cut->next)
		;
	if (!cut) {
		cut = calloc(1, sizeof(*cut));
		if (!cut)
			return false;
		cut->backend_id = backend_id;
		cut->next = killer->cuts;
		killer->cuts = cut;
	}
	cut->left = records_count(daemon->tables);
	daemon->tables->backends[backend_id].cut = 1;
	return true;
}

/* All flows of a backend, and not of some client alone. */
static bool takes_backend(const struct daemon *daemon, const struct weir_kill *filter)
{
	const uint32_t service = filter->service_id;

	return filter->backend_id && address_is_zero(&filter->client) && !filter->client_port &&
	       (!service || service == daemon->tables->backends[filter->backend_id].service);
}

void kill_flows(struct daemon *daemon, const struct weir_kill *filter)
{
	struct killer *killer = killer_of(daemon);

	if (!killer ||
	    !(takes_backend(daemon, filter) ? add_cut(daemon, killer, filter->backend_id) :
					      add_job(killer, filter))) {
		log_error("out of memory: connections are not killed");
		return;
	}
	if (!uv_is_active((uv_handle_t *)&killer->timer))
		uv_timer_start(&killer->timer, on_tick, TICK_MS, TICK_MS);
}

void kill_forget_backend(struct daemon *daemon, uint32_t id)
{
	struct killer *killer = daemon->killer;

	if (!killer)
		return;
	for (struct cut **link = &killer->cuts; *link;) {
		if ((*link)->backend_id == id)
			end_cut(daemon, link);
		else
			link = &(*link)->next;
	}
	for (struct kill_job **link = &killer->jobs; *link;) {
		struct kill_job *job = *link;

		if (job->filter.backend_id != id) {
			link = &job->next;
			continue;
		}
		*link = job->next;
		free(job);
	}
	stop_if_idle(killer);
}

void kill_free(struct daemon *daemon)
{
	struct killer *killer = daemon->killer;

	if (!killer)
		return;
	while (killer->cuts) {
		struct cut *cut = killer->cuts;

		killer->cuts = cut->next;
		free(cut);
	}
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
