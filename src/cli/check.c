// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/base/cleanup.h"
#include "src/base/host_addresses.h"
#include "src/cli/command.h"
#include "src/model/config_file.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_FILE "/etc/weir/weir.yaml"

struct findings {
	const char *file;
	json_t *errors; /* NULL: they are printed */
	bool no_memory;
};

static void take_error(size_t line, size_t column, const char *text, void *user)
{
	struct findings *findings = user;

	if (!findings->errors)
		fprintf(stderr, "%s:%zu:%zu: error: %s\n", findings->file, line, column, text);
	else if (json_array_append_new(findings->errors,
				       json_pack("{s:I, s:I, s:s}", "line", (json_int_t)line,
						 "column", (json_int_t)column, "text", text)) < 0)
		findings->no_memory = true;
}

static int compare_endpoints(const void *left, const void *right)
{
	const struct endpoint *a = left, *b = right;
	int r = memcmp(&a->address, &b->address, sizeof(a->address));

	return r ? r : (int)a->port - (int)b->port;
}

static bool takes_ports(const struct config_service *service)
{
	return service->mode == WEIR_MODE_NAT && !service->keep_client;
}

/* How many places of a family there are that weir talks to from its own addresses; -1: no memory. */
static long count_snat_backends(const struct config *config, bool v4)
{
	_cleanup_free_ struct endpoint *all = NULL;
	size_t count = 0;
	long distinct = 0;

	for (size_t i = 0; i < config->service_count; i++)
		count += takes_ports(&config->services[i]) ? config->services[i].backend_count : 0;
	all = calloc(count + 1, sizeof(*all));
	if (!all)
		return -1;
	count = 0;
	for (size_t i = 0; i < config->service_count; i++) {
		const struct config_service *service = &config->services[i];

		for (size_t j = 0; takes_ports(service) && j < service->backend_count; j++)
			if (address_is_v4(&service->backends[j].endpoint.address) == v4)
				all[count++] = service->backends[j].endpoint;
	}
	qsort(all, count, sizeof(*all), compare_endpoints);
	for (size_t i = 0; i < count; i++)
		distinct += !i || compare_endpoints(&all[i - 1], &all[i]) != 0;
	return distinct;
}

#define WARNINGS 2

/* One of each family; empty: there is nothing to warn of. */
struct warnings {
	char text[WARNINGS][256];
};

/* What can be said without looking at the host, which takes ports for itself. -1: no memory. */
static int warn_of_shortage(const struct config *config, bool v4, char text[static 256])
{
	const struct config_snat *snat = &config->snat;
	const uint32_t limit = v4 ? config->limits.flows : config_flows_v6(&config->limits);
	const unsigned int ports = snat->last_port - snat->first_port + 1U;
	const long backends = count_snat_backends(config, v4);
	size_t addresses = 0;
	uint64_t capacity;

	if (backends < 0)
		return -1;
	for (size_t i = 0; i < snat->address_count; i++)
		addresses += address_is_v4(&snat->addresses[i]) == v4;
	addresses = addresses ? addresses : 1;
	capacity = (uint64_t)ports * addresses * (uint64_t)backends;
	if (backends && capacity < limit)
		snprintf(text, 256,
			 "snat: %u ports of %zu %saddress%s towards %ld backend%s are enough for "
			 "%" PRIu64 " flows, fewer than limits.flows%s, %" PRIu32
			 "; add addresses to snat.addresses",
			 ports, addresses, v4 ? "" : "IPv6 ", addresses == 1 ? "" : "es", backends,
			 backends == 1 ? "" : "s", capacity, v4 ? "" : "_v6", limit);
	return 0;
}

static int print_json(bool valid, const json_t *errors, const struct warnings *warnings)
{
	json_auto_t *document = json_pack("{s:b, s:O, s:[]}", "valid", valid, "errors", errors,
					  "warnings");
	json_t *list = json_object_get(document, "warnings");

	for (size_t i = 0; i < WARNINGS; i++)
		if (warnings->text[i][0] &&
		    json_array_append_new(list, json_string(warnings->text[i])) < 0)
			return cli_fail("no memory");
	if (!document)
		return cli_fail("no memory");
	if (json_dumpf(document, stdout, JSON_COMPACT) < 0)
		return cli_fail("cannot write to stdout: %s", strerror(errno));
	putchar('\n');
	return valid ? EXIT_DONE : EXIT_FAILED;
}

static int print_valid(const char *file, const struct config *config,
		       const struct warnings *warnings)
{
	size_t backends = 0;

	for (size_t i = 0; i < config->service_count; i++)
		backends += config->services[i].backend_count;
	printf("%s: valid: %zu service%s, %zu backend%s\n", file, config->service_count,
	       config->service_count == 1 ? "" : "s", backends, backends == 1 ? "" : "s");
	for (size_t i = 0; i < WARNINGS; i++)
		if (warnings->text[i][0])
			fprintf(stderr, "%s: warning: %s\n", file, warnings->text[i]);
	return EXIT_DONE;
}

static int check(const char *file, bool json)
{
	_cleanup_free_ struct weir_address *addresses = NULL;
	_cleanup_(config_free) struct config config;
	json_auto_t *errors = json ? json_array() : NULL;
	struct findings findings = { .file = file, .errors = errors };
	struct warnings warnings = { { "" } };
	int r;

	config_init(&config);
	config.host_address_count = host_addresses_read(&addresses);
	config.host_addresses = addresses;
	r = config_file_load(file, &config, take_error, &findings);
	if (r == 0 && (warn_of_shortage(&config, true, warnings.text[0]) < 0 ||
		       warn_of_shortage(&config, false, warnings.text[1]) < 0))
		r = -ENOMEM;
	if (r == -ENOMEM || findings.no_memory || (json && !errors))
		return cli_fail("no memory");
	if (r < 0 && r != -EINVAL)
		return cli_fail("%s: cannot be read: %s%s", file, strerror(-r),
				r == -ENOENT ? "; -c FILE names another" : "");
	if (json)
		return print_json(r == 0, errors, &warnings);
	return r == 0 ? print_valid(file, &config, &warnings) : EXIT_FAILED;
}

int command_check(const struct cli *cli, const struct command *command, int argc, char *argv[])
{
	const char *file = NULL, *value;

	for (int i = 0; i < argc; i++) {
		int found = cli_take_value(argv, &i, "-c", &value);

		if (found == 0)
			return cli_unexpected(command, argv[i]);
		if (found < 0 || !value[0])
			return cli_misuse(command, "-c: FILE is missing");
		if (file)
			return cli_misuse(command, "-c is given twice");
		file = value;
	}
	return check(file ? file : DEFAULT_FILE, cli->json);
}
