// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "tests/health/harness.h"
#include "tests/health/servers.h"

#include <string.h>

#include "tests/unit/unit.h"

/* The same places in each family of addresses. */
static const struct family {
	const char *host;              /* its name, unless a check has another */
	const char *http, *https;      /* nginx */
	const char *refused;           /* nobody listens */
	const char *mute, *mute_tls;   /* of listen_on(): takes connections and says nothing */
	const char *silent, *echoless; /* nobody answers, but there is a route */
	const char *unrouted;
} families[] = {
	{ "127.0.0.1", "127.0.0.1:80", "127.0.0.1:443", "127.0.0.1:81", "127.0.0.1:8000",
	  "127.0.0.1:8001", "10.9.0.2:80", "10.9.0.2", "192.0.2.1:80" },
	{ "[::1]", "[::1]:80", "[::1]:443", "[::1]:81", "[::1]:8000", "[::1]:8001", "[fd09::2]:80",
	  "fd09::2", "[2001:db8::1]:80" },
};

#define FAMILY_FOR_EACH(family)                                                                    \
	for (const struct family *family = families; family < families + 2; family++)

static void tcp_good(void **state)
{
	struct config_health config = quick(HEALTH_TCP);

	FAMILY_FOR_EACH(family)
		assert_up(*state, family->http, &config);
}

static void tcp_bad(void **state)
{
	FAMILY_FOR_EACH(family) {
		struct config_health config = quick(HEALTH_TCP);

		assert_down(*state, family->refused, &config, "connection refused");
		assert_down(*state, family->silent, &config, "no answer within 80 ms");
		assert_down(*state, family->unrouted, &config,
			    "cannot connect: no route to its network");
		config.interval = config.timeout = 1000;
		assert_down(*state, family->silent, &config, "no answer within 1 s");
	}
}

static void port_of_the_check_wins(void **state)
{
	struct config_health config = quick(HEALTH_TCP);

	config.port = 80;
	FAMILY_FOR_EACH(family)
		assert_up(*state, family->refused, &config);
}

/* Sockets that closed first: FIN_WAIT_1 (04) and 2 (05), TIME_WAIT (06). */
static unsigned int closed_first(const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "r");
	unsigned int count = 0;
	char line[256], local[64], remote[64], state[3];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		count += sscanf(line, " %*s %63s %63s %2s", local, remote, state) == 3 &&
			 state[0] == '0' && strchr("456", state[1]);
	return count;
}

static void tcp_leaves_no_time_wait(void **state)
{
	static const char *const tables[] = { "/proc/thread-self/net/tcp",
					      "/proc/thread-self/net/tcp6" };
	struct config_health config = quick(HEALTH_TCP);

	FAMILY_FOR_EACH(family) {
		const char *table = tables[family - families];
		unsigned int before = closed_first(table);

		for (int i = 0; i < 5; i++)
			assert_up(*state, family->http, &config);
		assert_true(closed_first(table) <= before);
	}
}

static void http_status(void **state)
{
	FAMILY_FOR_EACH(family) {
		struct config_health config = quick(HEALTH_HTTP);

		assert_up(*state, family->http, &config);
		config.path = "/broken";
		assert_down(*state, family->http, &config, "status 503, expected 200-399");
		config.path = "/teapot";
		assert_down(*state, family->http, &config, "status 418, expected 200-399");
		config.status = 418;
		assert_up(*state, family->http, &config);
		config.path = "/";
		assert_down(*state, family->http, &config, "status 200, expected 418");
	}
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
	FAMILY_FOR_EACH(family) {
		struct config_health config = quick(HEALTH_HTTP);

		config.body = "is well";
		assert_up(*state, family->http, &config);
		config.body = "is ill";
		assert_down(*state, family->http, &config, "the answer does not contain 'is ill'");
	}
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

static void assert_logged(const char *host, const char *rest)
{
	char line[128];

	snprintf(line, sizeof(line), "%s|%s\n", host, rest);
	assert_true(servers_logged(line));
}

static void http_says_host_and_path(void **state)
{
	static const char *const names[] = { "four.example.org", "six.example.org" };

	FAMILY_FOR_EACH(family) {
		struct config_health config = quick(HEALTH_HTTP);
		const char *name = names[family - families];

		config.path = "/a/../b?c=d";
		assert_up(*state, family->http, &config);
		assert_logged(family->host, "/a/../b?c=d|-|close");
		config.host = (char *)name;
		config.path = "/named";
		assert_up(*state, family->http, &config);
		assert_logged(name, "/named|-|close");
	}
}

/* An address instead of a name: in brackets, as HTTP has it, whether the file has them or not. */
static void http_host_may_be_an_address(void **state)
{
	static const struct {
		const char *given, *said;
	} rows[] = { { "192.0.2.7", "192.0.2.7" },
		     { "2001:db8::7", "[2001:db8::7]" },
		     { "[2001:db8::8]", "[2001:db8::8]" },
		     { "[2001:db8::9]:8080", "[2001:db8::9]:8080" } };

	FAMILY_FOR_EACH(family)
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			struct config_health config = quick(HEALTH_HTTP);
			char path[32], rest[64];

			snprintf(path, sizeof(path), "/%zu/%zu", (size_t)(family - families), i);
			config.path = path;
			config.host = (char *)rows[i].given;
			assert_up(*state, family->http, &config);
			snprintf(rest, sizeof(rest), "%s|-|close", path);
			assert_logged(rows[i].said, rest);
		}
}

static void http_asks_no_proxy(void **state)
{
	struct config_health config = quick(HEALTH_HTTP);

	setenv("http_proxy", "http://127.0.0.1:81", 1);
	FAMILY_FOR_EACH(family)
		assert_up(*state, family->http, &config);
	unsetenv("http_proxy");
}

static void http_without_answer(void **state)
{
	struct config_health config = quick(HEALTH_HTTP);
	_cleanup_close_ int listener = listen_on(8000);

	FAMILY_FOR_EACH(family) {
		assert_down(*state, family->refused, &config, "connection refused");
		assert_down(*state, family->silent, &config, "no answer within 80 ms");
		assert_down(*state, family->mute, &config, "no answer within 80 ms");
	}
}

static void https_good(void **state)
{
	static const char *const names[] = { "four.secure.example.org", "six.secure.example.org" };

	FAMILY_FOR_EACH(family) {
		struct config_health config = quick(HEALTH_HTTPS);
		const char *name = names[family - families];
		char rest[64];

		config.interval = config.timeout = 1000;
		assert_up(*state, family->https, &config);
		config.host = (char *)name;
		config.path = "/secure";
		assert_up(*state, family->https, &config);
		snprintf(rest, sizeof(rest), "/secure|%s|close", name);
		assert_logged(name, rest);
	}
}

static void https_bad(void **state)
{
	struct config_health config = quick(HEALTH_HTTPS);
	_cleanup_close_ int listener = listen_on(8001);
	struct health_report report;

	config.path = "/broken";
	FAMILY_FOR_EACH(family) {
		assert_down(*state, family->https, &config, "status 503, expected 200-399");
		assert_down(*state, family->refused, &config, "connection refused");
		assert_down(*state, family->mute_tls, &config, "no answer within 80 ms");
		report = check(*state, family->http, &config); /* no TLS there */
		assert_int_equal(report.state, HEALTH_DOWN);
		assert_non_null(strstr(report.error, "SSL"));
	}
}

static void icmp_both_ways(void **state)
{
	struct config_health config = quick(HEALTH_ICMP);

	assert_up(*state, "10.9.0.1", &config);
	assert_up(*state, "fd09::1", &config);
	FAMILY_FOR_EACH(family) {
		assert_up(*state, family->http, &config);
		assert_down(*state, family->echoless, &config, "no answer within 80 ms");
		assert_down(*state, family->unrouted, &config,
			    "cannot send: no route to its network");
	}
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
		TEST(http_host_may_be_an_address),
		TEST(http_asks_no_proxy),
		TEST(http_without_answer),
		TEST(https_good),
		TEST(https_bad),
		TEST(icmp_raw),
		TEST(icmp_ping_socket),
	};

	return cmocka_run_group_tests(tests, servers_nginx, servers_stop);
}
