/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "tests/daemon/tables.h"

/* A daemon, and the configurations that it is given one after the other. */
static struct daemon daemon_;
/* Every one of a test, so that the one before outlives the next. */
static struct config configs[4];

static inline struct config_service *add(struct config *config, const char *name, uint16_t port,
					 size_t backends)
{
	return add_service(config, name, port, WEIR_SCHEDULER_RR, backends);
}

/* @count services "s0", "s1", ... on ports from @port on. */
static inline void add_many(struct config *config, uint16_t port, unsigned int count,
			    size_t backends)
{
	for (unsigned int i = 0; i < count; i++) {
		char name[] = { 's', (char)('0' + i), '\0' };

		add(config, name, port + i, backends);
	}
}

static int set_up(void **state)
{
	tables_clear();
	tables_begin(&daemon_);
	for (size_t i = 0; i < COUNT(configs); i++)
		config_init(&configs[i]);
	return 0;
}

static int tear_down(void **state)
{
	tables_end(&daemon_);
	for (size_t i = 0; i < COUNT(configs); i++)
		config_free(&configs[i]);
	return 0;
}

static inline void apply(struct config *config)
{
	struct error error = { "" };

	assert_int_equal(apply_config(&daemon_, config, &error), 0);
}

/* Two services that share addresses of backends, every backend reachable. */
static inline void begin(void)
{
	add(&configs[0], "a", 80, 2);
	add(&configs[0], "b", 81, 3);
	apply(&configs[0]);
	tables_tell_all(&daemon_);
	tables_pass_grace(&daemon_);
}

static inline void settle(unsigned int walks)
{
	while (walks--)
		apply_settle(&daemon_);
}
