// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/overrides.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "tests/unit/allocation.h"
#include "tests/unit/config_equal.h"

static const char file_text[] =
	"interfaces: [eth0]\n"
	"services:\n"
	"- name: web\n"
	"  listen: 1.2.3.4:80\n"
	"  backends: [10.0.0.1, {address: 10.0.0.2, weight: 5, state: drain}]\n"
	"- {name: dns, listen: 1.2.3.4:53}\n"
	"- {name: all, listen: 1.2.3.5:any, health: {type: icmp}}\n";

struct fixture {
	struct config file;
	struct overrides overrides;
	struct error error;
	struct endpoint one, two, new;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	config_init(&f->file);
	assert_int_equal(
		config_file_parse(file_text, strlen(file_text), &f->file, fail_on_error, NULL), 0);
	endpoint_parse("10.0.0.1:80", &f->one);
	endpoint_parse("10.0.0.2:80", &f->two);
	endpoint_parse("10.0.0.3:80", &f->new);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	overrides_free(&f->overrides);
	overrides_free(&f->overrides);
	config_free(&f->file);
	free(f);
	return 0;
}

static struct config apply(struct fixture *f)
{
	struct config config;

	assert_int_equal(config_copy(&f->file, &config), 0);
	assert_int_equal(overrides_apply(&f->overrides, &config), 0);
	for (size_t i = 0; i < config.service_count; i++) {
		struct config_service alone;

		assert_int_equal(config_service_copy(&f->file.services[i], &alone), 0);
		assert_int_equal(overrides_apply_service(&f->overrides, &alone), 0);
		assert_service_equal(&alone, &config.services[i]);
		config_service_free(&alone);
	}
	return config;
}

#define CHANGE(what, ...) what(&f->overrides, &f->file, "web", __VA_ARGS__, &f->error)

static void test_set(void **state)
{
	struct fixture *f = *state;
	_cleanup_(config_free) struct config config = { 0 };

	assert_int_equal(CHANGE(overrides_set_state, &f->one, BACKEND_DOWN), 0);
	assert_int_equal(CHANGE(overrides_set_state, &f->one, BACKEND_DRAIN), 0);
	assert_int_equal(CHANGE(overrides_set_weight, &f->two, 9), 0);
	assert_int_equal(f->overrides.count, 2);
	config = apply(f);
	assert_int_equal(config.services[0].backends[0].state, BACKEND_DRAIN);
	assert_int_equal(config.services[0].backends[1].weight, 9);
	assert_int_equal(config.services[0].backends[1].state, BACKEND_DRAIN);
	/* Back to what the file says. */
	assert_int_equal(CHANGE(overrides_set_state, &f->one, BACKEND_READY), 0);
	assert_int_equal(CHANGE(overrides_set_weight, &f->two, 5), 0);
	assert_int_equal(f->overrides.count, 0);
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;
	struct endpoint no_port = f->new;

	no_port.port = 0;
	assert_int_equal(overrides_set_weight(&f->overrides, &f->file, "no", &f->one, 1, &f->error),
			 -ENOENT);
	assert_string_equal(f->error.text,
			    "there is no service 'no'; 'weir service list' shows them");
	assert_int_equal(CHANGE(overrides_set_state, &f->new, BACKEND_DOWN), -ENOENT);
	assert_string_equal(f->error.text, "service web has no backend 10.0.0.3:80; 'weir backend "
					   "list web' shows them");
	assert_int_equal(CHANGE(overrides_set_state, &f->one, (enum backend_state)3), -EINVAL);
	assert_int_equal(CHANGE(overrides_set_weight, &f->one, 257), -EINVAL);
	assert_int_equal(CHANGE(overrides_add, &f->new, 257), -EINVAL);
	assert_int_equal(CHANGE(overrides_add, &no_port, 1), -EINVAL);
	assert_int_equal(CHANGE(overrides_add, &f->one, 1), -EEXIST);
	assert_string_equal(f->error.text, "service web has backend 10.0.0.1:80 already");
	assert_int_equal(overrides_remove(&f->overrides, &f->file, "web", &f->new, &f->error),
			 -ENOENT);
	assert_int_equal(overrides_reset(&f->overrides, &f->file, "web", &f->new, &f->error),
			 -ENOENT);
	assert_int_equal(f->overrides.count, 0);
}

static void test_add_and_remove(void **state)
{
	struct fixture *f = *state;
	struct overrides *all = &f->overrides;
	struct config config;

	assert_int_equal(CHANGE(overrides_add, &f->new, 3), 0);
	assert_int_equal(CHANGE(overrides_add, &f->new, 3), -EEXIST);
	assert_int_equal(CHANGE(overrides_set_weight, &f->new, 4), 0);
	assert_int_equal(CHANGE(overrides_set_state, &f->new, BACKEND_DRAIN), 0);
	assert_int_equal(overrides_remove(all, &f->file, "web", &f->one, &f->error), 0);
	assert_int_equal(overrides_remove(all, &f->file, "web", &f->one, &f->error), -ENOENT);
	assert_int_equal(CHANGE(overrides_set_weight, &f->one, 4), -ENOENT);
	config = apply(f);
	assert_int_equal(config.services[0].backend_count, 2);
	assert_memory_equal(&config.services[0].backends[0].endpoint.address, &f->two.address, 16);
	assert_int_equal(config.services[0].backends[1].weight, 4);
	assert_int_equal(config.services[0].backends[1].state, BACKEND_DRAIN);
	config_free(&config);
	/* An added one is not forgotten, but loses state and weight. */
	assert_int_equal(overrides_reset(all, &f->file, "web", &f->new, &f->error), 0);
	config = apply(f);
	assert_int_equal(config.services[0].backends[1].weight, 3);
	assert_int_equal(config.services[0].backends[1].state, BACKEND_READY);
	config_free(&config);
	/* One of the file comes back, by reset or by add. */
	assert_int_equal(overrides_reset(all, &f->file, "web", &f->one, &f->error), 0);
	assert_int_equal(overrides_remove(all, &f->file, "web", &f->two, &f->error), 0);
	assert_int_equal(CHANGE(overrides_add, &f->two, 6), 0);
	assert_int_equal(overrides_remove(all, &f->file, "web", &f->new, &f->error), 0);
	config = apply(f);
	assert_int_equal(config.services[0].backend_count, 2);
	assert_int_equal(config.services[0].backends[1].weight, 6);
	config_free(&config);
	assert_int_equal(all->count, 1);
}

static void test_prune(void **state)
{
	struct fixture *f = *state;
	struct overrides *all = &f->overrides;
	struct config_backend *backends = f->file.services[0].backends;

	assert_int_equal(CHANGE(overrides_set_state, &f->one, BACKEND_DOWN), 0);
	assert_int_equal(CHANGE(overrides_set_weight, &f->one, 2), 0);
	assert_int_equal(CHANGE(overrides_add, &f->new, 3), 0);
	assert_int_equal(CHANGE(overrides_set_weight, &f->new, 4), 0);
	assert_int_equal(overrides_remove(all, &f->file, "web", &f->two, &f->error), 0);
	assert_int_equal(all->count, 5);
	overrides_prune(all, &f->file); /* the same file */
	assert_int_equal(all->count, 5);
	backends[0].weight = 7; /* another value of that key alone */
	overrides_prune(all, &f->file);
	assert_int_equal(all->count, 4);
	assert_int_equal(all->entries[0].key, OVERRIDE_STATE);
	/* The file has the added one now, with another weight, and not the removed one. */
	backends[1].endpoint = f->new;
	overrides_prune(all, &f->file);
	assert_int_equal(all->count, 1);
	f->file.services[0].name[0] = 'x';
	overrides_prune(all, &f->file);
	assert_int_equal(all->count, 0);
}

static void test_no_memory(void **state)
{
	struct fixture *f = *state;
	_cleanup_(config_free) struct config config = { 0 };

	allocation_fail_at(1);
	assert_int_equal(CHANGE(overrides_set_weight, &f->one, 2), -ENOMEM);
	assert_string_equal(f->error.text, "out of memory");
	assert_int_equal(f->overrides.count, 0);
	assert_int_equal(CHANGE(overrides_add, &f->new, 3), 0);
	assert_int_equal(config_copy(&f->file, &config), 0);
	allocation_fail_at(1);
	assert_int_equal(overrides_apply(&f->overrides, &config), -ENOMEM);
	allocation_fail_at(2); /* 2 stand there: a third needs room */
	assert_int_equal(overrides_apply(&f->overrides, &config), -ENOMEM);
	assert_int_equal(overrides_apply(&f->overrides, &config), 0);
}

#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

/* One that keeps the client's port goes with ranges and any, alone. */
static void test_backend_without_a_port(void **state)
{
	struct fixture *f = *state;
	_cleanup_(config_free) struct config config;
	struct endpoint any;

	assert_int_equal(endpoint_parse_any("10.0.0.9:any", &any), 0);
	assert_int_equal(overrides_add(&f->overrides, &f->file, "web", &any, 1, &f->error),
			 -EINVAL);
	assert_string_equal(f->error.text,
			    "service web: backend 10.0.0.9:any has no port; expected ADDR:PORT");
	assert_int_equal(overrides_add(&f->overrides, &f->file, "all", &any, 1, &f->error), 0);
	assert_int_equal(
		overrides_set_state(&f->overrides, &f->file, "all", &any, BACKEND_DRAIN, &f->error),
		0);
	config = apply(f);
	assert_int_equal(config.services[2].backend_count, 1);
	assert_int_equal(config.services[2].backends[0].endpoint.port, 0);
	assert_int_equal(config.services[2].backends[0].state, BACKEND_DRAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FILE(test_set),
		WITH_FILE(test_refusals),
		WITH_FILE(test_add_and_remove),
		WITH_FILE(test_prune),
		WITH_FILE(test_no_memory),
		WITH_FILE(test_backend_without_a_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
