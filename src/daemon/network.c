// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/base/log.h"
#include "src/daemon/internal.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

/* Above this, backends that share one address are told of in one line. */
#define LINES_PER_HOP 4

/* "via eth0 02:00:00:00:00:0b" */
static void format_way(const struct resolver_hop *state, char *text, size_t size)
{
	char name[IF_NAMESIZE] = "?";
	const uint8_t *mac = state->mac;

	if_indextoname(state->ifindex, name);
	snprintf(text, size, "via %s %02x:%02x:%02x:%02x:%02x:%02x", name, mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
}

static void log_backends(const struct daemon *daemon, const struct hop *hop, bool usable,
			 const char *text)
{
	enum log_level level = usable ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING;
	const struct backend *backends = daemon->registry.backends;
	char address[ENDPOINT_STRING_SIZE];
	uint32_t count = 0;

	for (uint32_t id = hop->first_backend; id; id = backends[id].next_same_hop)
		count++;
	if (count > LINES_PER_HOP) {
		log_write(level, "%u backends at %s: %s", count,
			  address_format(&hop->address, address), text);
		return;
	}
	for (uint32_t id = hop->first_backend; id; id = backends[id].next_same_hop)
		log_write(level, "backend %s (%s): %s%s",
			  endpoint_format_any(&backends[id].config->endpoint, address),
			  daemon->registry.services[backends[id].service].config->name, text,
			  usable && !backends[id].config->weight ? ", weight 0: no new flows" : "");
}

bool network_serves(const struct daemon *daemon, const struct hop *hop, enum weir_mode mode)
{
	const struct backend *backends = daemon->registry.backends;

	for (uint32_t id = hop->first_backend; id; id = backends[id].next_same_hop)
		if (daemon->registry.services[backends[id].service].own.mode == mode)
			return true;
	return false;
}

static void log_bypass(const struct daemon *daemon, const struct hop *hop)
{
	char address[ENDPOINT_STRING_SIZE];
	char name[IF_NAMESIZE] = "?";

	/* Replies have to come back through weir. */
	if (!network_serves(daemon, hop, WEIR_MODE_NAT))
		return;
	for (size_t i = 0; i < daemon->config->interface_count; i++)
		if (!daemon->interfaces[i].ifindex ||
		    daemon->interfaces[i].ifindex == hop->state.device)
			return;
	if_indextoname(hop->state.device, name);
	log_warning("backend address %s is reached through %s, where weir does not run: its "
		    "replies will not be translated; weir must run on that interface, too",
		    address_format(&hop->address, address), name);
}

static bool hop_needs_source(const struct daemon *daemon, const struct hop *hop)
{
	const struct backend *backends = daemon->registry.backends;

	for (uint32_t id = hop->first_backend; id; id = backends[id].next_same_hop)
		if (needs_source(daemon, &backends[id]))
			return true;
	return false;
}

/* One line each time a hop becomes usable or stops being so, or moves to another MAC address. */
static void log_hop(const struct daemon *daemon, struct hop *hop, bool all)
{
	char way[IF_NAMESIZE + 32], text[192], address[ENDPOINT_STRING_SIZE];
	const char *why;
	bool usable;

	if (!daemon->ready || !hop->known)
		return;
	usable = hop_usable(hop, hop_needs_source(daemon, hop), &why);
	/* A gateway that a new route has just brought is being resolved. */
	if (!usable && !hop->logged && !hop->first_backend && !all)
		return;
	if (hop->logged && hop->logged_usable == usable &&
	    (!usable || !memcmp(hop->logged_mac, hop->state.mac, sizeof(hop->logged_mac))))
		return;
	if (usable)
		format_way(&hop->state, way, sizeof(way));
	snprintf(text, sizeof(text), "%s%s", usable ? "ready " : "not ready: ", usable ? way : why);
	if (hop->first_backend)
		log_backends(daemon, hop, usable, text);
	else
		log_write(usable ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "gateway %s: %s",
			  address_format(&hop->address, address), text);
	if (usable && hop->first_backend)
		log_bypass(daemon, hop);
	hop->logged = true;
	hop->logged_usable = usable;
	memcpy(hop->logged_mac, hop->state.mac, sizeof(hop->logged_mac));
}

/* dsr and ipip: who asks a backend for anything from the service address asks it from its own. */
static void warn_of_source(const struct daemon *daemon, const struct service *service)
{
	const struct config_service *config = service->config;
	char address[ENDPOINT_STRING_SIZE];

	for (size_t i = 0; i < service->backend_count; i++) {
		const struct backend *backend = &daemon->registry.backends[service->backends[i]];
		const struct hop *hop = &daemon->hops.entries[backend->hop];

		for (size_t j = 0; j < config->listen_count; j++) {
			if (!address_equal(&hop->state.source,
					   &config->listens[j].endpoint.address))
				continue;
			log_warning("backend %s (%s): this host talks to it from the service "
				    "address, which in mode %s the backend has itself: it answers "
				    "neither ARP nor health checks; give this host another address",
				    endpoint_format_any(&backend->config->endpoint, address),
				    config->name, mode_name(config->mode));
			return;
		}
	}
}

static void warn_of_sources(const struct daemon *daemon)
{
	for (uint32_t id = 1; id <= daemon->registry.last_service; id++) {
		const struct service *service = &daemon->registry.services[id];

		if (service->used && service->config->mode != WEIR_MODE_NAT)
			warn_of_source(daemon, service);
	}
}

void network_log_all(struct daemon *daemon)
{
	warn_of_sources(daemon);
	for (uint32_t id = 1; id < daemon->hops.used; id++)
		log_hop(daemon, &daemon->hops.entries[id], true);
}

bool network_is_resolved(const struct daemon *daemon)
{
	const char *why;

	for (uint32_t id = 1; id < daemon->hops.used; id++) {
		const struct hop *hop = &daemon->hops.entries[id];

		if (hop->first_backend && !hop->state.local &&
		    !hop_usable(hop, hop_needs_source(daemon, hop), &why))
			return false;
	}
	return true;
}

void network_write_hop(struct daemon *daemon, const struct hop *hop)
{
	struct resolver_hop now = hop->state;

	if (hop->path.mtu && hop->path.mtu < now.mtu)
		now.mtu = hop->path.mtu;
	hop_write(&daemon->tables->hops[hop - daemon->hops.entries], &now);
}

void network_take_hop(struct daemon *daemon, uint16_t id, const struct resolver_hop *state)
{
	struct hop *hop = &daemon->hops.entries[id];

	hop->state = *state;
	hop->known = true;
	/* Before packets are sent there: to attach to the interface takes its time. */
	if (hop_has_way(state))
		egress_use(daemon, state->device);
	network_write_hop(daemon, hop);
	publish_hop(daemon, hop);
	log_hop(daemon, hop, false);
	path_mtu_ask(daemon, hop);
}

static void on_hop(const struct resolver_hop *state, void *user)
{
	struct daemon *daemon = user;
	uint16_t id = hops_find(&daemon->hops, &state->target, 0);

	if (state->ifindex)
		interfaces_source_mac(daemon, state->ifindex, state->source_mac);
	if (state->gateway && state->ifindex)
		gateways_take(daemon, state);
	if (id)
		network_take_hop(daemon, id, state);
}

static void on_gateway_gone(const struct weir_address *address, uint32_t ifindex, void *user)
{
	gateways_gone(user, address, ifindex);
}

static void on_link(const char *name, uint32_t ifindex, bool up, void *user)
{
	interfaces_link_event(user, name, ifindex, up);
}

static void on_forwarding(uint32_t ifindex, uint8_t family, bool on, void *user)
{
	forwarding_event(user, ifindex, family, on);
}

static void on_address(const struct weir_address *address, bool present, void *user)
{
	host_address_event(user, address, present);
	snat_address_event(user, address, present);
}

static const struct resolver_events events = {
	.hop = on_hop,
	.gateway_gone = on_gateway_gone,
	.link = on_link,
	.forwarding = on_forwarding,
	.address = on_address,
};

static void on_readable(uv_poll_t *poll, int status, int readable)
{
	struct daemon *daemon = poll->data;
	struct error error = {};
	int err = status < 0 ? status : resolver_dispatch(daemon->resolver);

	if (err < 0) {
		log_warning("rtnetlink: %s: starting over", strerror(-err));
		network_stop(daemon);
		daemon->host_address_count = 0; /* told anew */
		if (network_start(daemon, &error) < 0) {
			log_error("%s", error.text);
			daemon_stop(daemon, 1);
			return;
		}
	}
	if (daemon->echo_stale)
		check_paths_follow_all(daemon);
	host_address_follow(daemon);
	interfaces_settle(daemon);
	egress_follow(daemon);
	check_paths_mend(daemon);
	publish_slots(daemon);
	if (daemon->waiting && network_is_resolved(daemon))
		uv_stop(&daemon->loop);
}

static void on_poll_closed(uv_handle_t *handle)
{
	free(handle);
}

static int poll_start(struct daemon *daemon)
{
	uv_poll_t *poll = calloc(1, sizeof(*poll));
	int err;

	if (!poll)
		return -ENOMEM;
	err = uv_poll_init(&daemon->loop, poll, resolver_fd(daemon->resolver));
	if (err < 0) {
		free(poll);
		return err;
	}
	poll->data = daemon;
	daemon->resolver_poll = poll;
	return uv_poll_start(poll, UV_READABLE, on_readable);
}

int network_start(struct daemon *daemon, struct error *error)
{
	int err = resolver_new(&events, daemon, &daemon->resolver, error);

	if (err < 0)
		return err;
	daemon->addresses_known = true;
	host_address_follow(daemon);
	err = poll_start(daemon);
	for (size_t i = 0; err == 0 && i < daemon->config->interface_count; i++)
		if (daemon->interfaces[i].ifindex)
			err = resolver_watch(daemon->resolver, daemon->interfaces[i].ifindex);
	for (uint32_t id = 1; err == 0 && id < daemon->hops.used; id++)
		if (daemon->hops.entries[id].first_backend)
			err = resolver_add(daemon->resolver, &daemon->hops.entries[id].address);
	if (err < 0)
		return error_set(error, err, "rtnetlink: %s", strerror(-err));
	publish_slots(daemon);
	return 0;
}

static void stop_polling(struct daemon *daemon)
{
	if (daemon->resolver_poll) {
		uv_poll_stop(daemon->resolver_poll);
		uv_close((uv_handle_t *)daemon->resolver_poll, on_poll_closed);
		daemon->resolver_poll = NULL;
	}
}

void network_stop(struct daemon *daemon)
{
	stop_polling(daemon);
	resolver_free(daemon->resolver);
	daemon->resolver = NULL;
}

void network_leave(struct daemon *daemon)
{
	stop_polling(daemon);
	resolver_leave(daemon->resolver);
	daemon->resolver = NULL;
}
