// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/run_flags.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/base/parse.h"
#include "src/model/listen.h"

/* Longest part of a flag's value that an error repeats. */
#define QUOTE "'%.80s'"

/* What the flags have said so far. */
struct flags {
	struct config *config;
	struct config_service *all; /* listens, backends and options of all services */
};

struct flag {
	const char *name;
	int (*take)(struct flags *flags, const struct flag *flag, char *value, struct error *error);
	bool repeats;
	size_t offset; /* numbers: in struct config_limits; times: in struct config_timeouts */
	uint64_t least;
	uint64_t most;
};

static int out_of_memory(struct error *error)
{
	return error_set(error, -ENOMEM, "out of memory");
}

static int take_interface(struct flags *flags, const struct flag *flag, char *value,
			  struct error *error)
{
	struct config_interface *interface = flags->config->interfaces;

	if (!config_interface_name_valid(value))
		return error_set(error, -EINVAL,
				 "%s: " QUOTE " is no interface name; expected 1 to 15 characters "
				 "without '/', ':' and blanks",
				 flag->name, value);
	snprintf(interface->name, sizeof(interface->name), "%s", value);
	return 0;
}

static int take_attach(struct flags *flags, const struct flag *flag, char *value,
		       struct error *error)
{
	struct config_interface *interface = flags->config->interfaces;

	if (!strcmp(value, "auto"))
		interface->attach = ATTACH_AUTO;
	else if (!strcmp(value, "native"))
		interface->attach = ATTACH_NATIVE;
	else if (!strcmp(value, "generic"))
		interface->attach = ATTACH_GENERIC;
	else
		return error_set(error, -EINVAL,
				 "%s: " QUOTE " is unknown; expected auto, native or generic",
				 flag->name, value);
	return 0;
}

static int take_listen(struct flags *flags, const struct flag *flag, char *value,
		       struct error *error)
{
	const char *slash = strchr(value, '/');
	struct config_listen listen, *added;

	if (slash && strcmp(slash, "/udp") && strcmp(slash, "/tcp"))
		return error_set(error, -EINVAL,
				 "%s: " QUOTE " is no protocol; expected ADDR:PORT, "
				 "ADDR:PORT/tcp or ADDR:PORT/udp",
				 flag->name, slash + 1);
	if (listen_parse(value, &listen) < 0)
		return error_set(error, -EINVAL,
				 "%s: " QUOTE " is no address with a port; expected ADDR:PORT, "
				 "ADDR:PORT/tcp or ADDR:PORT/udp",
				 flag->name, value);
	if (!listen.protocol)
		listen.protocol = IPPROTO_TCP;
	added = config_service_add_listen(flags->all);
	if (!added)
		return out_of_memory(error);
	*added = listen;
	return 0;
}

static int take_backend(struct flags *flags, const struct flag *flag, char *item,
			struct error *error)
{
	struct config_backend backend = { .weight = 1 }, *added;
	char *equals = strchr(item, '=');
	uint64_t weight;

	if (equals) {
		*equals = '\0';
		if (parse_number(equals + 1, &weight) < 0 || weight > CONFIG_WEIGHT_MOST)
			return error_set(error, -EINVAL,
					 "%s: %.60s: " QUOTE " is no weight; expected 0 to 256",
					 flag->name, item, equals + 1);
		backend.weight = (uint32_t)weight;
	}
	if (endpoint_parse(item, &backend.endpoint) < 0 &&
	    endpoint_parse_any(item, &backend.endpoint) < 0)
		return error_set(error, -EINVAL,
				 "%s: " QUOTE " is no address; expected ADDR[:PORT][=WEIGHT],...",
				 flag->name, item);
	added = config_service_add_backend(flags->all);
	if (!added)
		return out_of_memory(error);
	*added = backend;
	return 0;
}

static int take_snat_address(struct flags *flags, const struct flag *flag, char *item,
			     struct error *error)
{
	struct weir_address address, *added;

	if (address_parse(item, &address) < 0)
		return error_set(error, -EINVAL,
				 "%s: " QUOTE " is no address; expected ADDR[,ADDR...]", flag->name,
				 item);
	added = config_add_snat_address(flags->config);
	if (!added)
		return out_of_memory(error);
	*added = address;
	return 0;
}

/* Calls @take for each item of a comma-separated list; an empty item is an item. */
static int take_items(struct flags *flags, const struct flag *flag, char *value,
		      int (*take)(struct flags *, const struct flag *, char *, struct error *),
		      struct error *error)
{
	char *item;
	int r;

	while ((item = strsep(&value, ","))) {
		r = take(flags, flag, item, error);
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_backends(struct flags *flags, const struct flag *flag, char *value,
			 struct error *error)
{
	return take_items(flags, flag, value, take_backend, error);
}

static int take_snat_addresses(struct flags *flags, const struct flag *flag, char *value,
			       struct error *error)
{
	return take_items(flags, flag, value, take_snat_address, error);
}

static int take_scheduler(struct flags *flags, const struct flag *flag, char *value,
			  struct error *error)
{
	int scheduler = scheduler_parse(value);

	if (scheduler < 0)
		return error_set(
			error, -EINVAL,
			"%s: " QUOTE
			" is no scheduler; expected rr, wrr, lc, wlc, p2c, hash, source or "
			"maglev",
			flag->name, value);
	flags->all->scheduler = (enum weir_scheduler)scheduler;
	return 0;
}

static int take_mode(struct flags *flags, const struct flag *flag, char *value, struct error *error)
{
	int mode = mode_parse(value);

	if (mode < 0)
		return error_set(error, -EINVAL,
				 "%s: " QUOTE " is no mode; expected nat, dsr or ipip", flag->name,
				 value);
	flags->all->mode = (enum weir_mode)mode;
	return 0;
}

static int take_on_no_backend(struct flags *flags, const struct flag *flag, char *value,
			      struct error *error)
{
	flags->all->silent = !strcmp(value, "drop");
	if (flags->all->silent || !strcmp(value, "reject"))
		return 0;
	return error_set(error, -EINVAL, "%s: " QUOTE " is unknown; expected reject or drop",
			 flag->name, value);
}

static int take_snat(struct flags *flags, const struct flag *flag, char *value, struct error *error)
{
	flags->all->keep_client = !strcmp(value, "off");
	if (flags->all->keep_client || !strcmp(value, "on"))
		return 0;
	return error_set(error, -EINVAL, "%s: " QUOTE " is unknown; expected on or off", flag->name,
			 value);
}

static int take_snat_ports(struct flags *flags, const struct flag *flag, char *value,
			   struct error *error)
{
	struct config_snat *snat = &flags->config->snat;

	if (parse_port_range(value, &snat->first_port, &snat->last_port) < 0)
		return error_set(error, -EINVAL,
				 "%s: " QUOTE " is no port range; expected LOW-HIGH, 1 to 65535",
				 flag->name, value);
	return 0;
}

static int store_limit(struct flags *flags, const struct flag *flag, const char *value, int r,
		       uint64_t number, const char *hint, struct error *error)
{
	const uint32_t limit = (uint32_t)number;

	if (r < 0 || number < flag->least || number > flag->most)
		return error_set(
			error, -EINVAL, "%s: " QUOTE " %s; expected %" PRIu64 " to %" PRIu64 "%s",
			flag->name, value, r == -EINVAL ? "is no number" : "is out of range",
			flag->least, flag->most, hint);
	memcpy((char *)&flags->config->limits + flag->offset, &limit, sizeof(limit));
	return 0;
}

static int take_number(struct flags *flags, const struct flag *flag, char *value,
		       struct error *error)
{
	uint64_t number = 0;
	int r = parse_number(value, &number);

	return store_limit(flags, flag, value, r, number, "", error);
}

static int take_size(struct flags *flags, const struct flag *flag, char *value, struct error *error)
{
	uint64_t number = 0;
	int r = parse_size(value, &number);

	return store_limit(flags, flag, value, r, number, ", with k, M or G if you like", error);
}

static int take_time(struct flags *flags, const struct flag *flag, char *value, struct error *error)
{
	uint64_t time = 0;
	int r = parse_time(value, &time);

	if (r < 0 || time < CONFIG_TIMEOUT_LEAST || time > CONFIG_TIMEOUT_MOST)
		return error_set(error, -EINVAL,
				 "%s: " QUOTE " %s; expected 100ms to 168h, such as 30s or 2h4m",
				 flag->name, value,
				 r == -EINVAL ? "is no time" : "is out of range");
	memcpy((char *)&flags->all->timeouts + flag->offset, &time, sizeof(time));
	return 0;
}

static int take_file(struct flags *flags, const struct flag *flag, char *value, struct error *error)
{
	return error_set(error, -EINVAL,
			 "%s: a configuration file goes with no other option; use it alone, or -i, "
			 "--listen and --backends",
			 flag->name);
}

#define LIMIT(field) offsetof(struct config_limits, field)
#define TIMEOUT(field) offsetof(struct config_timeouts, field)

static const struct flag all_flags[] = {
	{ .name = "-i", .take = take_interface },
	{ .name = "-c", .take = take_file },
	{ .name = "--listen", .take = take_listen, .repeats = true },
	{ .name = "--backends", .take = take_backends, .repeats = true },
	{ .name = "--scheduler", .take = take_scheduler },
	{ .name = "--mode", .take = take_mode },
	{ .name = "--attach", .take = take_attach },
	{ .name = "--on-no-backend", .take = take_on_no_backend },
	{ .name = "--flows",
	  .take = take_size,
	  .offset = LIMIT(flows),
	  .least = CONFIG_FLOWS_LEAST,
	  .most = CONFIG_FLOWS_MOST },
	{ .name = "--flows-v6",
	  .take = take_size,
	  .offset = LIMIT(flows_v6),
	  .least = CONFIG_FLOWS_LEAST,
	  .most = CONFIG_FLOWS_MOST },
	{ .name = "--half-open",
	  .take = take_size,
	  .offset = LIMIT(half_open),
	  .least = CONFIG_HALF_OPEN_LEAST,
	  .most = CONFIG_HALF_OPEN_MOST },
	{ .name = "--udp-share",
	  .take = take_number,
	  .offset = LIMIT(udp_share),
	  .least = 0,
	  .most = CONFIG_UDP_SHARE_MOST },
	{ .name = "--icmp-rate",
	  .take = take_number,
	  .offset = LIMIT(icmp_rate),
	  .least = 0,
	  .most = CONFIG_RATE_MOST },
	{ .name = "--reset-rate",
	  .take = take_number,
	  .offset = LIMIT(reset_rate),
	  .least = 0,
	  .most = CONFIG_RATE_MOST },
	{ .name = "--snat", .take = take_snat },
	{ .name = "--snat-address", .take = take_snat_addresses, .repeats = true },
	{ .name = "--snat-ports", .take = take_snat_ports },
	{ .name = "--timeout-tcp", .take = take_time, .offset = TIMEOUT(tcp) },
	{ .name = "--timeout-tcp-handshake", .take = take_time, .offset = TIMEOUT(tcp_handshake) },
	{ .name = "--timeout-tcp-close", .take = take_time, .offset = TIMEOUT(tcp_close) },
	{ .name = "--timeout-udp", .take = take_time, .offset = TIMEOUT(udp) },
	{ .name = "--timeout-udp-established",
	  .take = take_time,
	  .offset = TIMEOUT(udp_established) },
};

#define FLAGS (sizeof(all_flags) / sizeof(all_flags[0]))

/* The flag that @argument is, @length of it without "=VALUE", or NULL. */
static const struct flag *find_flag(const char *argument, size_t length)
{
	for (size_t i = 0; i < FLAGS; i++)
		if (strlen(all_flags[i].name) == length &&
		    !strncmp(all_flags[i].name, argument, length))
			return &all_flags[i];
	return NULL;
}

static int take_flag(struct flags *flags, const struct flag *flag, const char *value,
		     struct error *error)
{
	_cleanup_free_ char *copy = NULL;
	const size_t size = value ? strlen(value) + 1 : 0;

	if (size <= 1)
		return error_set(error, -EINVAL, "%s: its value is missing; expected %s VALUE",
				 flag->name, flag->name);
	copy = malloc(size);
	if (!copy)
		return out_of_memory(error);
	memcpy(copy, value, size);
	return flag->take(flags, flag, copy, error);
}

static int take_arguments(struct flags *flags, int argc, char *const argv[], bool *seen,
			  struct error *error)
{
	for (int i = 0; i < argc; i++) {
		const size_t length = strcspn(argv[i], "=");
		const struct flag *flag = find_flag(argv[i], length);
		const char *value = NULL;
		int r;

		if (!flag)
			return error_set(error, -EINVAL, "run: " QUOTE " is unknown", argv[i]);
		if (seen[flag - all_flags] && !flag->repeats)
			return error_set(error, -EINVAL, "%s: given twice; expected once",
					 flag->name);
		seen[flag - all_flags] = true;
		if (argv[i][length])
			value = argv[i] + length + 1;
		else if (i + 1 < argc && argv[i + 1][0] != '-')
			value = argv[++i];
		r = take_flag(flags, flag, value, error);
		if (r < 0)
			return r;
	}
	return 0;
}

/* One service for @listen, with the backends and options of all. */
static int add_service(struct flags *flags, const struct config_listen *listen, struct error *error)
{
	struct config_service *service = config_add_service(flags->config);
	char address[ENDPOINT_STRING_SIZE], text[LISTEN_STRING_SIZE];
	struct config_listen *added;

	if (!service)
		return out_of_memory(error);
	service->mode = flags->all->mode;
	service->scheduler = flags->all->scheduler;
	service->silent = flags->all->silent;
	service->keep_client = flags->all->keep_client;
	service->timeouts = flags->all->timeouts;
	address_format(&listen->endpoint.address, address);
	for (char *c = address; *c; c++)
		if (*c == '.' || *c == ':')
			*c = '-';
	listen_format(listen, text);
	snprintf(service->name, sizeof(service->name), "%s-%s-%s", protocol_name(listen->protocol),
		 address, strrchr(text, ':') + 1);
	added = config_service_add_listen(service);
	if (!added)
		return out_of_memory(error);
	*added = *listen;
	for (size_t i = 0; i < flags->all->backend_count; i++) {
		struct config_backend *backend = config_service_add_backend(service);

		if (!backend)
			return out_of_memory(error);
		*backend = flags->all->backends[i];
		if (!backend->endpoint.port && !listen_is_wide(listen))
			backend->endpoint.port = listen->endpoint.port;
	}
	return 0;
}

static int parse(struct flags *flags, int argc, char *const argv[], struct error *error)
{
	const struct config_service *all = flags->all;
	bool seen[FLAGS] = { false };
	int r;

	r = take_arguments(flags, argc, argv, seen, error);
	if (r < 0)
		return r;
	if (!flags->config->interfaces->name[0])
		return error_set(error, -EINVAL, "-i: missing; expected -i INTERFACE");
	if (!all->listen_count)
		return error_set(error, -EINVAL,
				 "--listen: missing; expected --listen ADDR:PORT[/udp]");
	if (!all->backend_count)
		return error_set(error, -EINVAL,
				 "--backends: missing; expected --backends "
				 "ADDR[:PORT][=WEIGHT],...");
	/* Before they are multiplied; config_check() would come too late for the memory. */
	if (all->backend_count > CONFIG_BACKENDS_MOST / all->listen_count)
		return error_set(error, -EINVAL,
				 "--backends: %zu for each of %zu services; expected at most "
				 "1000000 in all",
				 all->backend_count, all->listen_count);
	for (size_t i = 0; i < all->listen_count; i++) {
		r = add_service(flags, &all->listens[i], error);
		if (r < 0)
			return r;
	}
	return config_check(flags->config, error);
}

int run_flags_parse(int argc, char *const argv[], struct config *config, struct error *error)
{
	/* Owns what is common to all services until each has its copy. */
	_cleanup_(config_free) struct config common;
	struct flags flags = { .config = config };

	config_init(&common);
	flags.all = config_add_service(&common);
	if (!flags.all || !config_add_interface(config))
		return out_of_memory(error);
	return parse(&flags, argc, argv, error);
}
