// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/base/log.h"
#include "src/daemon/internal.h"
#include "src/datapath/records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Records in one go: 2 ms at most. All of them about once a second. */
#define CHUNK 16384
#define WALK_MS 900
#define PERIOD_MS 1000

/* Backends that are listened to after each walk: a system call each. */
#define LISTEN 256

static uint64_t now_ms(void)
{
	return uv_hrtime() / 1000000;
}

static void begin_walk(struct daemon *daemon)
{
	daemon->sweep.walk_began_ms = now_ms();
	memset(daemon->tables->audits, 0,
	       (daemon->registry.last_backend + 1) * sizeof(*daemon->tables->audits));
}

static void correct(const struct daemon *daemon, uint32_t id, struct weir_load *load,
		    const struct audit_correction *correction)
{
	char text[ENDPOINT_STRING_SIZE];

	__atomic_fetch_add(&load->half_open, (uint32_t)correction->half_open, __ATOMIC_RELAXED);
	__atomic_fetch_add(&load->established, (uint32_t)correction->established, __ATOMIC_RELAXED);
	log_warning("backend %s: its count of connections was off and is corrected "
		    "(half-open %+d, established %+d)",
		    endpoint_format_any(&daemon->registry.backends[id].config->endpoint, text),
		    correction->half_open, correction->established);
}

/* Looks after the queues of free ports: of one backend a tick, a bounded number of places. */
static void refill_ports(struct daemon *daemon)
{
	struct shortage *shortage = &daemon->sweep.shortage;

	for (uint32_t i = 0; i < SHORTAGE_QUEUES; i++) {
		struct weir_port_search search = {};
		struct shortage_queue *queue;
		const struct weir_load *load;
		bool clear;

		shortage->turn = (shortage->turn + 1) % SHORTAGE_QUEUES;
		queue = &shortage->queues[shortage->turn];
		if (!queue->backend)
			continue;
		search.backend_id = queue->backend;
		search.first = queue->next;
		load = &daemon->tables->loads[queue->backend];
		search.count = shortage_look(queue,
					     __atomic_load_n(&load->snat_ports, __ATOMIC_RELAXED),
					     snat_capacity(daemon, queue->backend), &clear);
		search.clear = clear;
		if (datapath_find_ports(daemon->datapath, &search) < 0)
			return;
		queue->waiting = search.waiting;
		queue->next += search.count;
		return;
	}
}

static void log_port_shortage(const struct daemon *daemon, uint32_t id, uint32_t used)
{
	char text[ENDPOINT_STRING_SIZE];

	log_warning("backend %s: %u of %llu source ports are in use; more SNAT addresses give more "
		    "(snat.addresses, --snat-address)",
		    endpoint_format_any(&daemon->registry.backends[id].config->endpoint, text),
		    used, (unsigned long long)snat_capacity(daemon, id));
}

/* Gives a backend that runs short of source ports a queue of free ones, or takes it back. */
static void watch_ports(struct daemon *daemon, uint32_t id, const struct weir_load *load)
{
	struct weir_backend *backend = &daemon->tables->backends[id];
	struct weir_port_search search = { .backend_id = id, .clear = 1 };
	uint32_t queue = 0;

	if (!backend->port)
		return; /* a queue is for one port of the backend, and it has many */
	switch (shortage_step(&daemon->sweep.shortage, id, load->snat_ports,
			      snat_capacity(daemon, id), backend->port_queue, &queue)) {
	case SHORTAGE_SAME:
		break;
	case SHORTAGE_BEGAN:
		__atomic_store_n(&backend->port_queue, queue, __ATOMIC_RELEASE);
		datapath_find_ports(daemon->datapath, &search);
		log_port_shortage(daemon, id, load->snat_ports);
		break;
	case SHORTAGE_ENDED:
		__atomic_store_n(&backend->port_queue, 0, __ATOMIC_RELEASE);
		break;
	}
}

/* Lets refused connections fade from the loads of a service's backends. */
static void fade_refusals(struct daemon *daemon, const struct service *service)
{
	struct refusals *memory =
		&daemon->sweep.refusals[registry_service_id(&daemon->registry, service)];
	struct weir_load sum = {};
	uint64_t taken = 0;
	double fade;

	for (size_t i = 0; i < service->backend_count; i++) {
		const struct weir_load *load = &daemon->tables->loads[service->backends[i]];

		sum.total += __atomic_load_n(&load->total, __ATOMIC_RELAXED);
		sum.half_open += __atomic_load_n(&load->half_open, __ATOMIC_RELAXED);
		sum.established += __atomic_load_n(&load->established, __ATOMIC_RELAXED);
		sum.failed += __atomic_load_n(&load->failed, __ATOMIC_RELAXED);
	}
	fade = refusals_fade(memory, &sum);
	for (size_t i = 0; i < service->backend_count; i++) {
		uint32_t id = service->backends[i];
		struct weir_load *load = &daemon->tables->loads[id];
		uint32_t failed = __atomic_load_n(&load->failed, __ATOMIC_RELAXED);
		uint32_t some = refusals_take(&daemon->sweep.fade_rest[id], failed, fade);

		__atomic_fetch_sub(&load->failed, some, __ATOMIC_RELAXED);
		daemon->sweep.failed[id] = failed - some;
		taken += some;
	}
	refusals_faded(memory, &sum, taken);
}

/* Refused or unanswered handshakes are a sign that the next health check should not wait for. */
static void hint_of_refusals(struct daemon *daemon, uint32_t id)
{
	uint32_t failed = __atomic_load_n(&daemon->tables->loads[id].failed, __ATOMIC_RELAXED);

	if (failed > daemon->sweep.failed[id] && daemon->registry.backends[id].watch)
		health_hint(daemon->registry.backends[id].watch);
}

static void audit(struct daemon *daemon)
{
	/* What there is more of than the last walk has left. */
	for (uint32_t id = 1; id <= daemon->registry.last_backend; id++)
		hint_of_refusals(daemon, id);
	for (uint32_t id = 1; id <= daemon->registry.last_service; id++)
		if (daemon->registry.services[id].used)
			fade_refusals(daemon, &daemon->registry.services[id]);
	for (uint32_t id = 1; id <= daemon->registry.last_backend; id++) {
		struct weir_load *load = &daemon->tables->loads[id];
		struct weir_load seen = {
			.total = __atomic_load_n(&load->total, __ATOMIC_RELAXED),
			.half_open = __atomic_load_n(&load->half_open, __ATOMIC_RELAXED),
			.established = __atomic_load_n(&load->established, __ATOMIC_RELAXED),
			.snat_ports = __atomic_load_n(&load->snat_ports, __ATOMIC_RELAXED),
		};
		struct audit_correction correction;

		if (!daemon->registry.backends[id].used)
			continue;
		if (audit_step(&daemon->sweep.memory[id], &seen, &daemon->tables->audits[id],
			       &correction))
			correct(daemon, id, load, &correction);
		watch_ports(daemon, id, &seen);
	}
}

/* Has the kernel ask for those backends that fell silent. */
static void listen_to_backends(struct daemon *daemon)
{
	const struct registry *registry = &daemon->registry;
	uint32_t count = registry->last_backend < LISTEN ? registry->last_backend : LISTEN;
	struct sweep *sweep = &daemon->sweep;
	struct weir_traffic traffic;

	while (count--) {
		uint32_t id = sweep->listened % registry->last_backend + 1;
		const struct backend *backend = &registry->backends[id];

		sweep->listened = id;
		if (backend->used && backend->reachable && daemon->resolver &&
		    datapath_read_traffic(daemon->datapath, id, &traffic) == 0 &&
		    silence_step(&sweep->silences[id], &traffic, now_ms()))
			resolver_probe(daemon->resolver, &backend->config->endpoint.address);
	}
}

static void on_tick(uv_timer_t *timer);

static void schedule_walk(struct daemon *daemon)
{
	struct sweep *sweep = &daemon->sweep;
	uint64_t chunks = (records_count(daemon->tables) + CHUNK - 1) / CHUNK;
	uint64_t next = sweep->walk_began_ms + PERIOD_MS;
	uint64_t now = now_ms();
	uint64_t pause = WALK_MS / chunks;

	uv_timer_start(&sweep->timer, on_tick, next > now ? next - now : 1, pause ? pause : 1);
}

/* What was DEAD in the last walk is not held by any packet any more: the next one may free it. */
static void on_grace(struct grace_waiter *waiter, void *user)
{
	struct daemon *daemon = user;

	if (!daemon->stopping)
		schedule_walk(daemon);
}

static void sample_rates(struct daemon *daemon)
{
	struct weir_counters counters;

	if (datapath_read_counters(daemon->datapath, &counters) == 0)
		rates_sample(&daemon->sweep.rates, now_ms(), counters.packets,
			     counters.reasons[WEIR_REASON_NEW_FLOW]);
}

static void end_walk(struct daemon *daemon)
{
	struct sweep *sweep = &daemon->sweep;

	uv_timer_stop(&sweep->timer);
	sweep->next = 0;
	sweep->quarantine = sweep->quarantine_now;
	sweep->quarantine_now = 0;
	sweep->walk_ended_ms = now_ms();
	for (int i = 0; i < WEIR_FAMILIES; i++)
		horizon_sample(
			&sweep->horizons[i], sweep->walk_ended_ms,
			__atomic_load_n(&daemon->tables->shared->ring_head[i], __ATOMIC_RELAXED));
	sample_rates(daemon);
	audit(daemon);
	apply_settle(daemon);
	summary_follow(daemon);
	listen_to_backends(daemon);
	grace_wait(&daemon->grace, &sweep->waiter, on_grace, daemon);
}

static void on_tick(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;
	struct sweep *sweep = &daemon->sweep;
	struct weir_sweep chunk = {};
	uint32_t run;
	int err;

	chunk.first = records_id(daemon->tables, sweep->next, CHUNK, &run);
	chunk.count = run;
	if (sweep->next == 0)
		begin_walk(daemon);
	refill_ports(daemon);
	err = datapath_sweep(daemon->datapath, &chunk);
	if (err < 0 && !sweep->told)
		log_error("the sweep fails, flows do not expire: %s", strerror(-err));
	sweep->told = err < 0;
	if (err < 0)
		return;
	sweep->next += chunk.count;
	sweep->quarantine_now += chunk.quarantine;
	if (sweep->next >= records_count(daemon->tables))
		end_walk(daemon);
	else if (chunk.count < run)
		uv_timer_start(timer, on_tick, 1,
			       uv_timer_get_repeat(timer)); /* it was cut short */
}

int sweep_start(struct daemon *daemon)
{
	struct sweep *sweep = &daemon->sweep;

	sweep->memory = calloc(daemon->registry.backend_ids, sizeof(*sweep->memory));
	sweep->silences = calloc(daemon->registry.backend_ids, sizeof(*sweep->silences));
	sweep->refusals = calloc(daemon->registry.service_ids, sizeof(*sweep->refusals));
	sweep->fade_rest = calloc(daemon->registry.backend_ids, sizeof(*sweep->fade_rest));
	sweep->failed = calloc(daemon->registry.backend_ids, sizeof(*sweep->failed));
	if (!sweep->memory || !sweep->silences || !sweep->refusals || !sweep->fade_rest ||
	    !sweep->failed)
		return -ENOMEM;
	uv_timer_init(&daemon->loop, &sweep->timer);
	sweep->timer.data = daemon;
	sweep->walk_began_ms = now_ms();
	sweep->walk_ended_ms = sweep->walk_began_ms;
	for (int i = 0; i < WEIR_FAMILIES; i++)
		horizon_sample(&sweep->horizons[i], sweep->walk_ended_ms, 0);
	schedule_walk(daemon);
	return 0;
}

uint64_t sweep_age_ms(const struct daemon *daemon)
{
	return now_ms() - daemon->sweep.walk_ended_ms;
}

void sweep_forget_backend(struct daemon *daemon, uint32_t id)
{
	struct sweep *sweep = &daemon->sweep;
	uint32_t queue = daemon->tables->backends[id].port_queue;

	if (queue)
		sweep->shortage.queues[queue].backend = 0;
	sweep->memory[id] = (struct audit_memory){};
	sweep->silences[id] = (struct silence){};
	sweep->fade_rest[id] = 0;
	sweep->failed[id] = 0;
}

void sweep_free(struct daemon *daemon)
{
	free(daemon->sweep.failed);
	free(daemon->sweep.memory);
	free(daemon->sweep.silences);
	free(daemon->sweep.refusals);
	free(daemon->sweep.fade_rest);
}
