// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "tests/health/harness.h"
#include "tests/health/servers.h"

#include <string.h>

#include "tests/unit/unit.h"

/* Nobody answers there, but there is a route. */
#define SILENT "10.9.0.2"

static void tcp_good(void **state)
{
	struct config_health config = quick(HEALTH_TCP);

	assert_up(*state, "127.0.0.1:80", &config);
	assert_up(*state, "[::1]:80", &config);
}

static void tcp_bad(void **state)
{
	struct config_health config = quick(HEALTH_TCP);

	assert_down(*state, "127.0.0.1:81", &config, "connection refused");
	assert_down(*state, "[::1]:81", &config, "connection refused");
	assert_down(*state, SILENT ":80", &config, "no answer within 80 ms");
	assert_down(*state, "192.0.2.1:80", &config, "cannot connect: no route to its network");
	config.interval = config.timeout = 1000;
	assert_down(*state, SILENT ":80", &config, "no answer within 1 s");
}

static void port_of_the_check_wins(void **state)
{
	struct config_health config = quick(HEALTH_TCP);

	config.port = 80;
	assert_up(*state, "127.0.0.1:81", &config);
}

/* Sockets that closed first: FIN_WAIT_1 (04) and 2 (05), TIME_WAIT (06). */
static unsigned int closed_first(void)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/thread-self/net/tcp", "r");
	unsigned int count = 0;
	char line[256];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		count += strlen(line) > 36 && line[34] == '0' && strchr("456", line[35]);
	return count;
}

static void tcp_leaves_no_time_wait(void **state)
{
	struct config_health config = quick(HEALTH_TCP);
	unsigned int before = closed_first();

	for (int i = 0; i < 5; i++)
		assert_up(*state, "127.0.0.1:80", &config);
	assert_true(closed_first() <= before);
}

static void http_status(void **state)
{
	struct config_health config = quick(HEALTH_HTTP);

	assert_up(*state, "127.0.0.1:80", &config);
	assert_up(*state, "[::1]:80", &config);
	config.path = "/broken";
	assert_down(*state, "127.0.0.1:80", &config, "status 503, expected 200-399");
	config.path = "/teapot";
	assert_down(*state, "127.0.0.1:80", &config, "status 418, expected 200-399");
	config.status = 418;
	assert_up(*state, "127.0.0.1:80", &config);
	config.path = "/";
	assert_down(*state, "127.0.0.1:80", &config, "status 200, expected 418");
}

/* Followed, this one would end at a 503. */
static void http_does_not_follow(void **state)
{
	struct config_health config = quick(HEALTH_HTTP);

	config.path = "/moved";
	assert_up(*state, "127.0.0.1:80", &config);
	config.status = 302;
	assert_up(*state, "127.0.0.1:80", &config);
}

static void http_body(void **state)
{
	struct config_health config = quick(HEALTH_HTTP);

	config.body = "is well";
	assert_up(*state, "127.0.0.1:80", &config);
	config.body = "is ill";
	assert_down(*state, "127.0.0.1:80", &config, "the answer does not contain 'is ill'");
}

static void http_reads_64_kib(void **state)
{
	struct config_health config = quick(HEALTH_HTTP);

	config.path = "/files/late";
	assert_up(*state, "127.0.0.1:80", &config);
	config.body = "needle";
	assert_down(*state, "127.0.0.1:80", &config, "the answer does not contain 'needle'");
	config.path = "/files/early";
	assert_up(*state, "127.0.0.1:80", &config);
}

static void http_says_host_and_path(void **state)
{
	struct config_health config = quick(HEALTH_HTTP);

	config.path = "/a/../b?c=d";
	assert_up(*state, "127.0.0.1:80", &config);
	config.host = "www.example.org";
	config.path = "/named";
	assert_up(*state, "127.0.0.1:80", &config);
	assert_true(servers_logged("127.0.0.1|/a/../b?c=d|-|close\n"));
	assert_true(servers_logged("www.example.org|/named|-|close\n"));
	config.host = "six.example.org";
	assert_up(*state, "[::1]:80", &config);
	assert_true(servers_logged("six.example.org|/named|-|close\n"));
}

static void http_asks_no_proxy(void **state)
{
	struct config_health config = quick(HEALTH_HTTP);

	setenv("http_proxy", "http://127.0.0.1:81", 1);
	assert_up(*state, "127.0.0.1:80", &config);
	unsetenv("http_proxy");
}

static void http_without_answer(void **state)
{
	struct config_health config = quick(HEALTH_HTTP);
	_cleanup_close_ int listener = listen_on(8000);

	assert_down(*state, "127.0.0.1:81", &config, "connection refused");
	assert_down(*state, SILENT ":80", &config, "no answer within 80 ms");
	assert_down(*state, "127.0.0.1:8000", &config, "no answer within 80 ms");
}

static void https_good(void **state)
{
	struct config_health config = quick(HEALTH_HTTPS);

	config.interval = config.timeout = 1000;
	assert_up(*state, "127.0.0.1:443", &config);
	config.host = "secure.example.org";
	config.path = "/secure";
	assert_up(*state, "127.0.0.1:443", &config);
	assert_true(servers_logged("secure.example.org|/secure|secure.example.org|close\n"));
}

static void https_bad(void **state)
{
	struct config_health config = quick(HEALTH_HTTPS);
	_cleanup_close_ int listener = listen_on(8001);
	struct health_report report;

	config.path = "/broken";
	assert_down(*state, "127.0.0.1:443", &config, "status 503, expected 200-399");
	assert_down(*state, "127.0.0.1:81", &config, "connection refused");
	assert_down(*state, "127.0.0.1:8001", &config, "no answer within 80 ms");
	report = check(*state, "127.0.0.1:80", &config); /* no TLS there */
	assert_int_equal(report.state, HEALTH_DOWN);
	assert_non_null(strstr(report.error, "SSL"));
}

static void icmp_both_ways(void **state)
{
	struct config_health config = quick(HEALTH_ICMP);

	assert_up(*state, "10.9.0.1", &config);
	assert_up(*state, "127.0.0.1:80", &config);
	assert_up(*state, "::1", &config);
	assert_down(*state, SILENT, &config, "no answer within 80 ms");
	assert_down(*state, "192.0.2.1", &config, "cannot send: no route to its network");
}

static void icmp_raw(void **state)
{
	write_text("/proc/sys/net/ipv4/ping_group_range", "1 0");
	icmp_both_ways(state);
}

static void icmp_ping_socket(void **state)
{
	write_text("/proc/sys/net/ipv4/ping_group_range", "0 100");
	icmp_both_ways(state);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_start, harness_stop)
	const struct CMUnitTest tests[] = {
		TEST(tcp_good),
		TEST(tcp_bad),
		TEST(port_of_the_check_wins),
		TEST(tcp_leaves_no_time_wait),
		TEST(http_status),
		TEST(http_does_not_follow),
		TEST(http_body),
		TEST(http_reads_64_kib),
		TEST(http_says_host_and_path),
		TEST(http_asks_no_proxy),
		TEST(http_without_answer),
		TEST(https_good),
		TEST(https_bad),
		TEST(icmp_raw),
		TEST(icmp_ping_socket),
	};

	return cmocka_run_group_tests(tests, servers_nginx, servers_stop);
}
