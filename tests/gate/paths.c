// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <stdlib.h>

#include "src/base/cleanup.h"
#include "src/model/config_file.h"
#include "src/model/maglev.h"

/*
 * usage: gate_paths OLD NEW
 *
 * What the daemon does when it starts and reloads, once, for callgrind to count (tests/gate/gate): reads
 * two configurations, finds what differs, and builds the slot table of each service.
 */

static void report(size_t line, size_t column, const char *text, void *user)
{
	fprintf(stderr, "%zu:%zu: %s\n", line, column, text);
}

static void tell(const char *path, const char *old_value, const char *new_value, void *user)
{
	++*(size_t *)user;
}

static int build_table(const struct config_service *service, size_t services)
{
	_cleanup_free_ struct maglev_backend *backends = calloc(service->backend_count,
								sizeof(*backends));
	_cleanup_free_ struct weir_slot *slots = NULL;

	if (!backends)
		return -1;
	for (size_t i = 0; i < service->backend_count; i++)
		backends[i] = (struct maglev_backend){
			.endpoint = service->backends[i].endpoint,
			.id = (uint32_t)i + 1,
			.weight = service->backends[i].weight,
			.usable = true,
		};
	return maglev_build(backends, service->backend_count, maglev_size(service, services),
			    &slots);
}

int main(int argc, char **argv)
{
	struct config configs[2];
	size_t differences = 0;
	int r = argc == 3 ? 0 : -1;

	for (int i = 0; i < 2; i++) {
		config_init(&configs[i]);
		if (!r)
			r = config_file_load(argv[1 + i], &configs[i], report, NULL);
	}
	if (!r && config_diff(&configs[0], &configs[1], tell, &differences) < 0)
		r = -1;
	for (size_t i = 0; !r && i < configs[1].service_count; i++)
		if (build_table(&configs[1].services[i], configs[1].service_count) <= 0)
			r = -1;
	for (int i = 0; i < 2; i++)
		config_free(&configs[i]);
	/* Figures of one compiler say nothing of those of another. */
	puts(GATE_COMPILER);
	return r || !differences ? 1 : 0;
}
