/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/model/config_file.h"
#include "tests/unit/unit.h"

static inline void fail_on_error(size_t line, size_t column, const char *text, void *user)
{
	fail_msg("%zu:%zu: %s", line, column, text);
}

static inline void fail_on_difference(const char *path, const char *old_value,
				      const char *new_value, void *user)
{
	fail_msg("%s: %s became %s", path, old_value ? old_value : "nothing",
		 new_value ? new_value : "nothing");
}

/* Compares by value, not by what config_diff() knows of. */
static inline void assert_text_equal(const char *a, const char *b)
{
	assert_true(!a == !b);
	if (a)
		assert_string_equal(a, b);
}

static inline void assert_health_equal(const struct config_health *a, const struct config_health *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->interval, b->interval);
	assert_int_equal(a->timeout, b->timeout);
	assert_int_equal(a->rise, b->rise);
	assert_int_equal(a->fall, b->fall);
	assert_int_equal(a->port, b->port);
	assert_int_equal(a->status, b->status);
	assert_text_equal(a->path, b->path);
	assert_text_equal(a->host, b->host);
	assert_text_equal(a->body, b->body);
	assert_text_equal(a->command, b->command);
}

static inline void assert_service_equal(const struct config_service *a,
					const struct config_service *b)
{
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->listen_count, b->listen_count);
	for (size_t i = 0; i < a->listen_count; i++) {
		assert_memory_equal(&a->listens[i].endpoint.address,
				    &b->listens[i].endpoint.address, 16);
		assert_int_equal(a->listens[i].endpoint.port, b->listens[i].endpoint.port);
		assert_int_equal(a->listens[i].last_port, b->listens[i].last_port);
		assert_int_equal(a->listens[i].protocol, b->listens[i].protocol);
	}
	assert_int_equal(a->except_count, b->except_count);
	for (size_t i = 0; i < a->except_count; i++) {
		assert_int_equal(a->except[i].first, b->except[i].first);
		assert_int_equal(a->except[i].last, b->except[i].last);
	}
	assert_int_equal(prefix_list_compare(a->allow, b->allow), 0);
	assert_int_equal(prefix_list_compare(a->deny, b->deny), 0);
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->scheduler, b->scheduler);
	assert_int_equal(a->silent, b->silent);
	assert_int_equal(a->keep_client, b->keep_client);
	assert_int_equal(a->fail_open, b->fail_open);
	assert_int_equal(a->outer_fixed, b->outer_fixed);
	assert_int_equal(a->clear_df, b->clear_df);
	assert_int_equal(a->slow_start, b->slow_start);
	assert_int_equal(a->affinity.by, b->affinity.by);
	assert_int_equal(a->affinity.timeout, b->affinity.timeout);
	assert_memory_equal(&a->timeouts, &b->timeouts, sizeof(a->timeouts));
	assert_health_equal(&a->health, &b->health);
	assert_int_equal(a->backend_count, b->backend_count);
	for (size_t i = 0; i < a->backend_count; i++) {
		const struct config_backend *left = &a->backends[i], *right = &b->backends[i];

		assert_memory_equal(&left->endpoint.address, &right->endpoint.address, 16);
		assert_int_equal(left->endpoint.port, right->endpoint.port);
		assert_int_equal(left->weight, right->weight);
		assert_int_equal(left->state, right->state);
		assert_int_equal(left->backup, right->backup);
		assert_int_equal(left->max_connections, right->max_connections);
	}
}

static inline void assert_config_equal(const struct config *a, const struct config *b)
{
	assert_int_equal(a->interface_count, b->interface_count);
	for (size_t i = 0; i < a->interface_count; i++) {
		assert_string_equal(a->interfaces[i].name, b->interfaces[i].name);
		assert_int_equal(a->interfaces[i].attach, b->interfaces[i].attach);
	}
	assert_memory_equal(&a->limits, &b->limits, sizeof(a->limits));
	assert_int_equal(a->snat.address_count, b->snat.address_count);
	if (a->snat.address_count)
		assert_memory_equal(a->snat.addresses, b->snat.addresses,
				    16 * a->snat.address_count);
	assert_int_equal(a->snat.first_port, b->snat.first_port);
	assert_int_equal(a->snat.last_port, b->snat.last_port);
	assert_text_equal(a->control.socket, b->control.socket);
	assert_text_equal(a->control.group, b->control.group);
	assert_int_equal(a->control.mode, b->control.mode);
	assert_int_equal(a->service_count, b->service_count);
	for (size_t i = 0; i < a->service_count; i++)
		assert_service_equal(&a->services[i], &b->services[i]);
}
