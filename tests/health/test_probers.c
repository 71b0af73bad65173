// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "tests/health/harness.h"
#include "tests/health/servers.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/unit.h"

#define MANY 100000

/* Once now, and then not for a long time: what comes is due to a hint. */
static struct config_health rare(void)
{
	struct config_health config = quick(HEALTH_TCP);

	config.interval = 600000;
	return config;
}

static void two_watches_share_a_check(void **state)
{
	struct config_health config = quick(HEALTH_TCP);
	_cleanup_close_ int listener = listen_on(8000);
	char path[] = "/", same_path[] = "/";
	struct health_watch *one, *two;

	config.interval = 1000;
	config.path = path;
	one = watch(*state, "127.0.0.1:8000", &config, HEALTH_UNKNOWN);
	config.path = same_path;
	two = watch(*state, "127.0.0.1:8000", &config, HEALTH_UNKNOWN);
	run_until_told(*state, 2);
	assert_int_equal(accept_all(listener, NULL), 1);
	assert_int_equal(health_report(one)->state, HEALTH_UP);
	assert_int_equal(health_report(two)->state, HEALTH_UP);
	health_unwatch(one);
	run_for(*state, 1200);
	assert_int_equal(accept_all(listener, NULL), 1); /* goes on for the other one */
	health_unwatch(two);
	run_for(*state, 1200);
	assert_int_equal(accept_all(listener, NULL), 0);
}

static void other_checks_are_not_shared(void **state)
{
	struct config_health config = rare();
	_cleanup_close_ int listener = listen_on(8000);

	watch(*state, "127.0.0.1:8000", &config, HEALTH_UNKNOWN);
	config.fall++;
	watch(*state, "127.0.0.1:8000", &config, HEALTH_UNKNOWN);
	run_until_told(*state, 2);
	assert_int_equal(accept_all(listener, NULL), 2);
}

/* Each watch counts from what it knew. */
static void sharers_have_their_own_state(void **state)
{
	struct config_health config = quick(HEALTH_TCP);
	struct health_watch *fresh, *known;

	config.fall = 3;
	fresh = watch(*state, "127.0.0.1:8000", &config, HEALTH_UNKNOWN);
	known = watch(*state, "127.0.0.1:8000", &config, HEALTH_UP);
	run_until_told(*state, 2);
	assert_int_equal(health_report(fresh)->state, HEALTH_DOWN);
	assert_int_equal(health_report(known)->state, HEALTH_UP);
	run_until_told(*state, 3);
	assert_int_equal(health_report(known)->state, HEALTH_DOWN);
	assert_int_equal(health_report(known)->in_a_row, 3);
	assert_true(health_report(known)->since_ms > 0);
}

/* One that comes later does not wait for the next turn. */
static void late_sharer_is_told_soon(void **state)
{
	struct config_health config = rare();
	_cleanup_close_ int listener = listen_on(8000);
	struct health_watch *late;

	watch(*state, "127.0.0.1:8000", &config, HEALTH_UNKNOWN);
	run_until_told(*state, 1);
	late = watch(*state, "127.0.0.1:8000", &config, HEALTH_UNKNOWN);
	run_for(*state, 1200);
	assert_int_equal(health_report(late)->state, HEALTH_UP);
}

static void falls_and_rises_as_configured(void **state)
{
	struct config_health config = quick(HEALTH_TCP);
	int listener = listen_on(8000);
	struct health_watch *made;

	config.rise = 2;
	config.fall = 3;
	made = watch(*state, "127.0.0.1:8000", &config, HEALTH_UNKNOWN);
	run_until_told(*state, 1);
	assert_int_equal(health_report(made)->state, HEALTH_UP);
	close(listener);
	run_until_told(*state, 2);
	assert_int_equal(health_report(made)->state, HEALTH_DOWN);
	assert_int_equal(health_report(made)->in_a_row, 3);
	listener = listen_on(8000);
	run_until_told(*state, 3);
	assert_int_equal(health_report(made)->state, HEALTH_UP);
	assert_int_equal(health_report(made)->in_a_row, 2);
	assert_int_equal(accept_all(listener, NULL), 2);
	close(listener);
}

static void hint_checks_now(void **state)
{
	struct config_health config = rare();
	int listener = listen_on(8000);
	struct health_watch *made = watch(*state, "127.0.0.1:8000", &config, HEALTH_UNKNOWN);

	run_until_told(*state, 1);
	run_for(*state, 150);
	assert_int_equal(accept_all(listener, NULL), 1);
	health_hint(made);
	health_hint(made); /* one that is due is enough */
	run_for(*state, 50);
	assert_int_equal(accept_all(listener, NULL), 1);
	health_hint(made); /* one ran just now */
	run_for(*state, 150);
	assert_int_equal(accept_all(listener, NULL), 0);
	close(listener);
	health_hint(made);
	run_until_told(*state, 2);
	assert_int_equal(health_report(made)->state, HEALTH_DOWN);
}

/* Unlike usleep(), not ended by a signal. */
static void be_busy(unsigned int milliseconds)
{
	uint64_t end = uv_hrtime() + milliseconds * 1000000ULL;

	while (uv_hrtime() < end)
		usleep(1000);
}

/* The answer is there, and the loop did not look in time: that is no bad backend. */
static void busy_loop_is_no_timeout(void **state)
{
	struct config_health config = quick(HEALTH_EXEC);
	struct harness *harness = *state;
	struct health_watch *made;

	config.interval = 10000;
	config.command = "sleep 0.05; exit 3";
	made = watch(harness, "127.0.0.1:8000", &config, HEALTH_UNKNOWN);
	health_hint(made);
	run_for(harness, 10); /* starts it */
	be_busy(300);
	run_until_told(harness, 1);
	assert_string_equal(health_report(made)->error, "exit status 3");
}

static void first_checks_are_spread(void **state)
{
	struct config_health config = quick(HEALTH_TCP);
	_cleanup_close_ int listener = listen_on(8000);
	struct harness *harness = *state;

	config.interval = 2000;
	for (uint32_t i = 0; i < 200; i++) {
		config.fall = i + 1;
		watch(harness, "127.0.0.1:8000", &config, HEALTH_UNKNOWN);
	}
	for (int i = 0; i < 4; i++) {
		run_for(harness, 250);
		assert_in_range(accept_all(listener, NULL), 20, 80);
	}
	run_for(harness, 100);
	assert_int_equal(harness->told, 200);
}

/* Two that start together drift apart: 10 % of 1 s, three times. */
static void interval_has_jitter(void **state)
{
	struct config_health config = quick(HEALTH_TCP);
	_cleanup_close_ int listener = listen_on(8000);
	unsigned int early, all;

	config.interval = 500;
	for (uint32_t i = 0; i < 100; i++) {
		config.fall = i + 1;
		health_hint(watch(*state, "127.0.0.1:8000", &config, HEALTH_UNKNOWN));
	}
	run_for(*state, 100);
	assert_int_equal(accept_all(listener, NULL), 100);
	run_for(*state, 400);
	early = accept_all(listener, NULL);
	assert_in_range(early, 10, 90);
	run_for(*state, 100);
	all = early + accept_all(listener, NULL);
	assert_int_equal(all, 100);
}

static void at_most_500_at_once(void **state)
{
	struct config_health config = quick(HEALTH_TCP);
	unsigned int before = open_files();
	struct harness *harness = *state;

	config.interval = 1200;
	config.timeout = 600;
	for (uint32_t i = 0; i < 700; i++) {
		config.fall = i + 1;
		health_hint(watch(harness, "10.9.0.2:80", &config, HEALTH_UNKNOWN));
	}
	run_for(harness, 300);
	assert_int_equal(open_files() - before, 500);
	assert_int_equal(harness->told, 0);
	run_for(harness, 500);
	assert_int_equal(harness->told, 500);
	run_for(harness, 600);
	assert_int_equal(harness->told, 700);
}

static void start_one_of_each_kind(struct harness *harness, struct health_watch **ret)
{
	static const char *const targets[] = { "10.9.0.2:80", "127.0.0.1:8000", "127.0.0.1:8000",
					       "10.9.0.2", "10.9.0.2:80" };

	for (int type = HEALTH_TCP; type <= HEALTH_EXEC; type++) {
		struct config_health config = quick((enum health_type)type);

		config.interval = config.timeout = 2000;
		config.command = "sleep 100";
		ret[type - 1] = watch(harness, targets[type - 1], &config, HEALTH_UNKNOWN);
		health_hint(ret[type - 1]);
	}
	run_for(harness, 150);
	assert_int_equal(harness->told, 0);
}

static void unwatch_during_a_check(void **state)
{
	_cleanup_close_ int listener = listen_on(8000);
	struct health_watch *watches[5];

	start_one_of_each_kind(*state, watches);
	for (int i = 0; i < 5; i++)
		health_unwatch(watches[i]);
	run_for(*state, 200);
	health_unwatch(NULL);
}

/* Three times 200 echoes without an answer: more than there are slots for. */
static void ended_echoes_leave_their_slots(void **state)
{
	struct config_health config = quick(HEALTH_ICMP);
	struct health_watch *watches[200];

	config.interval = config.timeout = 10000;
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 200; i++) {
			config.fall = i + 1;
			watches[i] = watch(*state, "10.9.0.2", &config, HEALTH_UNKNOWN);
			health_hint(watches[i]);
		}
		run_for(*state, 50);
		for (int i = 0; i < 200; i++)
			health_unwatch(watches[i]);
	}
	assert_up(*state, "10.9.0.1", &config);
}

static void free_during_checks(void **state)
{
	_cleanup_close_ int listener = listen_on(8000);
	struct health_watch *watches[5];

	start_one_of_each_kind(*state, watches);
	harness_free(*state);
	health_free(NULL);
}

static struct health_watch *others[3];

/* Takes away all, the one that is told included. */
static void unwatch_all(struct harness *harness, struct health_watch *watch)
{
	for (int i = 0; i < 3; i++)
		health_unwatch(TAKE(others[i]));
}

static void free_all(struct harness *harness, struct health_watch *watch)
{
	health_free(TAKE(harness->health));
}

static void whoever_is_told_may_end_all(void **state)
{
	static const enum health_type types[] = { HEALTH_TCP, HEALTH_HTTP, HEALTH_ICMP,
						  HEALTH_EXEC };
	static void (*const ends[])(struct harness *, struct health_watch *) = { unwatch_all,
										 free_all };

	for (int i = 0; i < 8; i++) {
		struct config_health config = quick(types[i / 2]);
		struct harness *harness;

		harness_start((void **)&harness);
		config.interval = config.timeout = 2000;
		config.command = "true";
		harness->on_change = ends[i % 2];
		for (int j = 0; j < 3; j++)
			others[j] = watch(harness, "127.0.0.1:8000", &config, HEALTH_UNKNOWN);
		health_hint(others[0]);
		run_until_told(harness, 1);
		assert_int_equal(harness->told, 1);
		harness_stop((void **)&harness);
	}
}

/* Takes 0.1 s of CPU; with a search for each it would be minutes. */
static void a_hundred_thousand_are_added_without_a_search(void **state)
{
	struct config_health config = rare();
	struct harness *harness = *state;
	struct health_watch **watches = calloc(MANY, sizeof(struct health_watch *));
	clock_t begin = clock();

	assert_non_null(watches);
	for (uint32_t i = 0; i < MANY; i++) {
		struct health_target target = {
			.backend = { address_from_v4(htonl(0x0a0a0000 + i / 2)),
				     (uint16_t)(80 + i % 2) },
		};

		assert_int_equal(health_watch(harness->health, &target, &config, HEALTH_UNKNOWN,
					      harness, &watches[i], NULL),
				 0);
	}
	assert_true(clock() - begin < 20 * CLOCKS_PER_SEC);
	for (uint32_t i = 0; i < MANY; i++)
		health_unwatch(watches[i]);
	free(watches);
}

/* Local ports of the sockets that connect (02), as /proc/net/tcp has them. */
static size_t ports_of_connecting(uint16_t *ports, size_t most)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/thread-self/net/tcp", "r");
	unsigned int port, status;
	char line[256];
	size_t count = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file) && count < most)
		if (sscanf(line, " %*u: %*x:%x %*x:%*x %x", &port, &status) == 2 && status == 2)
			ports[count++] = (uint16_t)port;
	return count;
}

/* What a program makes of their addresses is the same: replies must differ in their port. */
static void checks_of_services_have_ports_of_their_own(void **state)
{
	struct config_health config = rare();
	struct harness *harness = *state;
	static uint16_t ports[1000];
	static bool seen[65536];
	size_t count;

	config.timeout = 3000;
	for (uint32_t i = 0; i < 500; i++) {
		const struct health_way way = { address_from_v4(htonl(0x0a0a0a0a)),
						address_from_v4(htonl(0x0a090003 + i / 2)) };
		const struct health_target target = {
			.backend = { address_from_v4(htonl(0x0a0b0000 + i)),
				     (uint16_t)(80 + i % 2) },
			.ways = &way,
			.way_count = 1,
		};
		struct health_watch *made;

		assert_int_equal(health_watch(harness->health, &target, &config, HEALTH_UNKNOWN,
					      harness, &made, NULL),
				 0);
	}
	run_for(harness, 1200);
	count = ports_of_connecting(ports, 1000);
	assert_true(count > 400);
	for (size_t i = 0; i < count; i++) {
		assert_false(seen[ports[i]]);
		seen[ports[i]] = true;
	}
}

static struct health_watch *watch_ways(struct harness *harness, const struct health_way *ways,
				       size_t count, const struct config_health *config)
{
	const struct health_target target = {
		.backend = { address_from_v4(htonl(0x0a0b0c0d)), 8000 },
		.ways = ways,
		.way_count = count,
	};
	struct health_watch *made;

	assert_int_equal(health_watch(harness->health, &target, config, HEALTH_UNKNOWN, harness,
				      &made, NULL),
			 0);
	return made;
}

/* Not on ::1 as well. */
static int listen_on_v4(uint16_t port)
{
	const struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const int on = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

/* Each answers, or it is told which one does not. */
static void all_service_addresses_are_checked(void **state)
{
	const struct weir_address here = address_from_v4(htonl(INADDR_LOOPBACK));
	const struct weir_address six = { .word = { 0, 0, 0, htonl(1) } };
	struct health_way ways[] = { { address_from_v4(htonl(0x0a0a0a01)), here },
				     { address_from_v4(htonl(0x0a0a0a02)), here },
				     { address_from_v4(htonl(0x0a0a0a03)), here } };
	struct config_health config = rare(), icmp = rare();
	_cleanup_close_ int listener = listen_on_v4(8000);
	struct health_watch *watch, *pinged;

	icmp.type = HEALTH_ICMP;
	watch = watch_ways(*state, ways, 3, &config);
	run_until_told(*state, 1);
	assert_int_equal(health_report(watch)->state, HEALTH_UP);
	assert_int_equal(accept_all(listener, NULL), 3);
	ways[1].check = six; /* nobody listens there */
	watch = watch_ways(*state, ways, 3, &config);
	pinged = watch_ways(*state, ways, 3, &icmp);
	run_until_told(*state, 3);
	assert_string_equal(health_report(watch)->error,
			    "10.10.10.2 by way of the backend: connection refused");
	assert_int_equal(accept_all(listener, NULL), 1);
	assert_int_equal(health_report(pinged)->state, HEALTH_UP);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_start, harness_stop)
	const struct CMUnitTest tests[] = {
		TEST(two_watches_share_a_check),
		TEST(other_checks_are_not_shared),
		TEST(sharers_have_their_own_state),
		TEST(late_sharer_is_told_soon),
		TEST(falls_and_rises_as_configured),
		TEST(hint_checks_now),
		TEST(busy_loop_is_no_timeout),
		TEST(first_checks_are_spread),
		TEST(interval_has_jitter),
		TEST(at_most_500_at_once),
		TEST(unwatch_during_a_check),
		TEST(ended_echoes_leave_their_slots),
		TEST(free_during_checks),
		cmocka_unit_test(whoever_is_told_may_end_all),
		TEST(a_hundred_thousand_are_added_without_a_search),
		TEST(checks_of_services_have_ports_of_their_own),
		TEST(all_service_addresses_are_checked),
	};

	return cmocka_run_group_tests(tests, servers_network, NULL);
}
