// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/address.h"
#include "tests/daemon/fixture.h"
#include "tests/unit/allocation.h"

#define RECORDS 200000
#define NOW 1000

const char *const reason_names[WEIR_REASON_COUNT];

static struct config config;
static struct daemon daemon_;
static struct weir_runtime runtime = { .hz = 250 };
static struct datapath_tables tables = { .runtime = &runtime, .records = { RECORDS } };
static struct weir_flow4 *records;

/* Stand-ins for the datapath and the control server. */
void datapath_store(uint64_t *word, uint64_t value)
{
	*word = value;
}

uint64_t datapath_jiffies(struct datapath *datapath)
{
	return NOW;
}

int datapath_read_traffic(struct datapath *datapath, uint32_t backend, struct weir_traffic *ret)
{
	return -ENOENT;
}

/* No backend is checked. */
const struct health_report *health_report(const struct health_watch *watch)
{
	fail();
	return NULL;
}

bool backend_is_healthy(const struct backend *backend)
{
	return true;
}

static json_t *(*next)(void *state);
static void (*done)(void *state);
static void *stream;

int control_reply_stream(struct control_request *request, json_t *(*next_)(void *state),
			 void (*done_)(void *state), void *state)
{
	next = next_;
	done = done_;
	stream = state;
	return 0;
}

static int set_up(void **state)
{
	config_init(&config);
	add_service(&config, "a", 80, WEIR_SCHEDULER_RR, 2);
	add_service(&config, "b", 81, WEIR_SCHEDULER_RR, 2);
	records = calloc(RECORDS, sizeof(*records));
	tables.flows4 = records;
	daemon_.tables = &tables;
	fill_registry(&daemon_.registry, &config);
	return records ? 0 : -1;
}

static int tear_down(void **state)
{
	registry_free(&daemon_.registry);
	config_free(&config);
	free(records);
	return 0;
}

static int no_records(void **state)
{
	memset(records, 0, RECORDS * sizeof(*records));
	return 0;
}

static void set_record(uint32_t id, enum weir_flow_state state, uint32_t backend, uint8_t flags)
{
	records[id] = (struct weir_flow4){
		.flow.control = { .generation = 1, .state = state, .flags = flags },
		.client = { htonl(0x0a000014), htonl(0xc0000201) },
		.backend = { htonl(0xc6336401), htonl(0xc0000209) },
		.flow.client_ports = { htons((uint16_t)(40000 + id % 1000)), htons(80) },
		.flow.backend_ports = { htons(8000), htons(2000) },
		.flow.last_seen = NOW - 50,
		.flow.backend_id = backend,
	};
}

/* All documents of a request as an array; counts the pauses. */
static json_t *list(const char *text, unsigned int *pauses)
{
	json_t *arguments = json_loads(text, 0, NULL), *all = json_array(), *one;
	struct error error;

	*pauses = 0;
	assert_int_equal(flow_list(NULL, arguments, &daemon_, &error), 0);
	json_decref(arguments);
	while ((one = next(stream))) {
		if (json_is_null(one))
			++*pauses;
		else
			json_array_append_new(all, one);
	}
	done(stream);
	return all;
}

static size_t count(const char *text)
{
	unsigned int pauses;
	json_t *all = list(text, &pauses);
	size_t result = json_array_size(all);

	json_decref(all);
	return result;
}

static void test_document(void **state)
{
	json_t *expected = json_loads("[{\"service\": \"b\", \"protocol\": \"udp\","
				      "\"client\": \"10.0.0.20:40007\","
				      "\"listen\": \"192.0.2.1:80\","
				      "\"backend\": \"198.51.100.1:8000\","
				      "\"snat\": \"192.0.2.9:2000\","
				      "\"state\": \"established\", \"idle_ms\": 200}]",
				      0, NULL);
	unsigned int pauses;
	json_t *all;

	set_record(7, WEIR_FLOW_ESTABLISHED, 3, WEIR_FLOW_UDP);
	all = list("{}", &pauses);
	assert_non_null(expected);
	assert_true(json_equal(all, expected));
	json_decref(all);
	json_decref(expected);
}

static void test_states(void **state)
{
	static const char *const names[WEIR_FLOW_STATES] = {
		[WEIR_FLOW_HALF_OPEN] = "half_open",
		[WEIR_FLOW_ESTABLISHED] = "established",
		[WEIR_FLOW_CLOSING] = "closing",
		[WEIR_FLOW_KILLED] = "killed",
	};
	size_t seen = 0;
	unsigned int pauses;
	json_t *all;

	for (uint32_t i = 0; i < WEIR_FLOW_STATES; i++)
		set_record(i, i, 1, 0);
	all = list("{}", &pauses);
	for (uint32_t i = 0; i < WEIR_FLOW_STATES; i++) {
		const json_t *one;

		if (!names[i])
			continue;
		one = json_array_get(all, seen++);
		assert_string_equal(json_string_value(json_object_get(one, "state")), names[i]);
	}
	assert_int_equal(json_array_size(all), seen);
	json_decref(all);
}

/* A packet on another CPU may have been later than our look at the clock. */
static void test_idle_is_never_negative(void **state)
{
	unsigned int pauses;
	json_t *all;

	set_record(0, WEIR_FLOW_ESTABLISHED, 1, 0);
	records[0].flow.last_seen = NOW + 3;
	all = list("{}", &pauses);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(all, 0), "idle_ms")), 0);
	json_decref(all);
}

static void test_filters(void **state)
{
	for (uint32_t i = 0; i < 40; i++)
		set_record(1000 + i, WEIR_FLOW_ESTABLISHED, 1 + i % 4, 0);
	assert_int_equal(count("{}"), 40);
	assert_int_equal(count("{\"service\": \"a\"}"), 20);
	assert_int_equal(count("{\"backend\": \"198.51.100.1:8000\"}"), 20);
	assert_int_equal(count("{\"service\": \"a\", \"backend\": \"198.51.100.1:8000\"}"), 10);
	assert_int_equal(count("{\"client\": \"10.0.0.20\"}"), 40);
	assert_int_equal(count("{\"client\": \"10.0.0.20:40001\"}"), 1);
	assert_int_equal(count("{\"client\": \"10.0.0.21\"}"), 0);
}

static void test_records_of_no_backend_are_skipped(void **state)
{
	set_record(0, WEIR_FLOW_ESTABLISHED, 0, 0);
	set_record(1, WEIR_FLOW_ESTABLISHED, 5, 0);
	set_record(2, WEIR_FLOW_ESTABLISHED, UINT32_MAX, 0);
	set_record(3, WEIR_FLOW_ESTABLISHED, daemon_.registry.backend_ids, 0);
	assert_int_equal(count("{}"), 0);
}

/* Until the last one has ended. */
static void test_flows_of_what_is_leaving(void **state)
{
	set_record(0, WEIR_FLOW_ESTABLISHED, 3, 0);
	daemon_.registry.backends[3].leaving = true;
	daemon_.registry.services[2].leaving = true;
	assert_int_equal(count("{}"), 1);
	assert_int_equal(count("{\"service\": \"b\"}"), 1);
	daemon_.registry.backends[3].leaving = false;
	daemon_.registry.services[2].leaving = false;
}

static void test_a_long_search_pauses(void **state)
{
	unsigned int pauses;
	json_t *all;

	set_record(RECORDS - 1, WEIR_FLOW_ESTABLISHED, 1, 0);
	all = list("{}", &pauses);
	assert_int_equal(json_array_size(all), 1);
	assert_in_range(pauses, 2, 100);
	json_decref(all);
}

static void test_failures(void **state)
{
	json_t *arguments = json_pack("{s:s}", "service", "c");
	struct error error = { "" };

	assert_int_equal(flow_list(NULL, arguments, &daemon_, &error), -ENOENT);
	assert_non_null(strstr(error.text, "'c'"));
	allocation_fail_at(1);
	assert_int_equal(flow_list(NULL, arguments, &daemon_, &error), -ENOMEM);
	allocation_fail_at(0);
	json_decref(arguments);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_document, no_records),
		cmocka_unit_test_setup(test_states, no_records),
		cmocka_unit_test_setup(test_idle_is_never_negative, no_records),
		cmocka_unit_test_setup(test_filters, no_records),
		cmocka_unit_test_setup(test_records_of_no_backend_are_skipped, no_records),
		cmocka_unit_test_setup(test_flows_of_what_is_leaving, no_records),
		cmocka_unit_test_setup(test_a_long_search_pauses, no_records),
		cmocka_unit_test(test_failures),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
