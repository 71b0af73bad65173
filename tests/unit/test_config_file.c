// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/config_file.h"
#include "src/model/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/base/cleanup.h"
#include "tests/unit/allocation.h"
#include "tests/unit/config_equal.h"
#include "tests/unit/config_samples.h"

/* What was reported, "LINE:COLUMN text\n" each. */
struct report {
	char text[8192];
	size_t count;
	size_t line, column;
};

static void take_report(size_t line, size_t column, const char *text, void *user)
{
	struct report *report = user;
	const size_t length = strlen(report->text);

	snprintf(report->text + length, sizeof(report->text) - length, "%zu:%zu %s\n", line, column,
		 text);
	/* In the order of their positions. */
	assert_true(line > report->line || (line == report->line && column >= report->column));
	assert_true(column > 0);
	report->line = line;
	report->column = column;
	report->count++;
}

static void assert_refused(const char *text, const char *expected)
{
	_cleanup_(config_free) struct config config;
	struct report report = { .count = 0 };

	config_init(&config);
	assert_int_equal(config_file_parse(text, strlen(text), &config, take_report, &report),
			 -EINVAL);
	assert_string_equal(report.text, expected);
}

static void parse_good(const char *text, struct config *config)
{
	config_init(config);
	assert_int_equal(config_file_parse(text, strlen(text), config, fail_on_error, NULL), 0);
}

static void assert_prefixes(const struct prefix_list *list, const char *expected)
{
	char text[512] = "", one[PREFIX_STRING_SIZE];

	for (size_t i = 0; list && i < list->count; i++)
		sprintf(text + strlen(text), "%s ", prefix_format(&list->entries[i], one));
	assert_string_equal(text, expected);
}

static void assert_access_and_ports(const struct config *config)
{
	const struct config_service *web = &config->services[0], *all = &config->services[4];

	assert_null(web->allow);
	assert_prefixes(web->deny, "192.0.2.0/24 2001:db8::/32 "); /* defaults, */
	assert_ptr_equal(web->deny, config->services[2].deny);     /* once */
	assert_prefixes(all->allow, "10.0.0.0/8 192.0.2.128/25 192.0.2.7/32 ");
	assert_null(all->deny); /* an empty list is none, and goes before defaults */
	assert_int_equal(all->listen_count, 2);
	assert_true(listen_is_any(&all->listens[0]));
	assert_int_equal(all->listens[0].protocol, IPPROTO_TCP);
	assert_int_equal(all->listens[1].endpoint.port, 5000);
	assert_int_equal(all->listens[1].last_port, 5999);
	assert_int_equal(all->listens[1].protocol, IPPROTO_UDP);
	assert_int_equal(all->except_count, 2);
	assert_int_equal(all->except[0].first, 22);
	assert_int_equal(all->except[0].last, 22);
	assert_int_equal(all->except[1].first, 80);
	assert_int_equal(all->except[1].last, 90);
	assert_int_equal(all->backends[0].endpoint.port, 0);
	assert_int_equal(all->backends[1].endpoint.port, 0);
	assert_int_equal(all->backends[2].endpoint.port, 99);
}

static void test_good_one(void **state)
{
	_cleanup_(config_free) struct config config;
	const struct config_service *web, *dns, *log, *six;

	parse_good(good_config, &config);
	assert_int_equal(config.interface_count, 2);
	assert_string_equal(config.interfaces[1].name, "eth1");
	assert_int_equal(config.interfaces[1].attach, ATTACH_NATIVE);
	assert_string_equal(config.control.socket, "/run/weir/other.sock");
	assert_string_equal(config.control.group, "operators");
	assert_int_equal(config.control.mode, 0600);
	assert_int_equal(config.snat.address_count, 2);
	assert_int_equal(config.snat.first_port, 20000);
	assert_int_equal(config.snat.last_port, 60000);
	assert_int_equal(config.limits.flows, 512 * 1024);
	assert_int_equal(config_flows_v6(&config.limits), 32 * 1024);
	assert_int_equal(config.limits.half_open, 1000);
	assert_int_equal(config.limits.udp_share, 25);
	assert_int_equal(config.service_count, 5);
	web = &config.services[0];
	assert_int_equal(web->scheduler, WEIR_SCHEDULER_WRR);
	assert_true(web->fail_open);
	assert_int_equal(web->slow_start, 30000);
	assert_int_equal(web->timeouts.udp_established, 8000);
	assert_int_equal(web->health.type, HEALTH_HTTP);
	assert_string_equal(web->health.body, "all \"well\" \xc3\xa4");
	assert_int_equal(web->health.status, 204);
	assert_int_equal(web->backend_count, 3);
	assert_int_equal(web->backends[0].state, BACKEND_DRAIN);
	assert_true(web->backends[0].backup);
	assert_int_equal(web->backends[0].max_connections, 1024);
	assert_int_equal(web->backends[1].endpoint.port, 8000); /* the service's */
	assert_int_equal(web->backends[2].endpoint.port, 8000);
	dns = &config.services[1];
	assert_int_equal(dns->listen_count, 4);
	assert_int_equal(dns->listens[1].protocol, IPPROTO_UDP);
	assert_int_equal(dns->scheduler, WEIR_SCHEDULER_WLC); /* defaults */
	assert_int_equal(dns->timeouts.udp, 50000);           /* defaults go before timeouts */
	assert_int_equal(dns->timeouts.tcp, 3600000);         /* timeouts of all */
	assert_true(dns->keep_client && dns->silent);
	assert_int_equal(dns->health.type, HEALTH_TCP);
	assert_int_equal(dns->health.interval, 2000);
	assert_false(dns->outer_fixed || dns->clear_df);
	six = &config.services[2];
	assert_false(address_is_v4(&six->listens[0].endpoint.address));
	assert_int_equal(six->listens[0].endpoint.port, 80);
	assert_int_equal(six->backends[0].endpoint.port, 80); /* the service's */
	assert_true(six->outer_fixed && six->clear_df);
	log = &config.services[3];
	assert_int_equal(log->listens[0].protocol, IPPROTO_UDP);
	assert_int_equal(log->health.type, HEALTH_EXEC);
	assert_int_equal(log->backend_count, 0);
	assert_access_and_ports(&config);
}

#define HEAD "interfaces: [eth0]\n"
#define WEB HEAD "services:\n- name: web\n  listen: 1.2.3.4:80\n"

static void test_defaults(void **state)
{
	_cleanup_(config_free) struct config config;
	const struct config_service *services;

	parse_good("interfaces: [eth0]\n"
		   "defaults:\n"
		   "  protocol: udp\n"
		   "  backends: [10.0.0.1, {address: 10.0.0.2:9, weight: 3}]\n"
		   "  health: {type: http, path: /a, host: b, port: 8, rise: 7}\n"
		   "services:\n"
		   "- {name: a, listen: 1.2.3.4:80}\n"
		   "- {name: b, listen: 1.2.3.4:81, backends: [], health: {path: /b}}\n"
		   "- {name: c, listen: 1.2.3.4:82, protocol: tcp, health: {type: tcp}}\n",
		   &config);
	services = config.services;
	assert_int_equal(services[0].listens[0].protocol, IPPROTO_UDP);
	assert_int_equal(services[0].backend_count, 2);
	assert_int_equal(services[0].backends[0].endpoint.port, 80);
	assert_int_equal(services[2].backends[0].endpoint.port, 82);
	assert_int_equal(services[2].backends[1].weight, 3);
	assert_string_equal(services[0].health.path, "/a");
	assert_int_equal(services[1].backend_count, 0);
	assert_string_equal(services[1].health.path, "/b");
	assert_string_equal(services[1].health.host, "b");
	/* Another type of check leaves what only the first one knows. */
	assert_int_equal(services[2].health.type, HEALTH_TCP);
	assert_null(services[2].health.path);
	assert_int_equal(services[2].health.port, 8);
	assert_int_equal(services[2].health.rise, 7);
}

static void test_health_follows_protocol(void **state)
{
	_cleanup_(config_free) struct config config;

	parse_good(HEAD "services:\n"
			"- {name: a, listen: 1.2.3.4:80, protocol: udp}\n"
			"- {name: b, listen: 1.2.3.4:81, protocol: [udp, tcp]}\n"
			"- {name: c, listen: 1.2.3.4:82/udp, health: {type: none}}\n",
		   &config);
	assert_int_equal(config.services[0].health.type, HEALTH_ICMP);
	assert_int_equal(config.services[1].health.type, HEALTH_TCP);
	assert_int_equal(config.services[2].health.type, HEALTH_NONE);
}

/* As a program writes it that knows JSON alone. */
static void test_sizes_as_texts(void **state)
{
	_cleanup_(config_free) struct config config;

	parse_good("{\"interfaces\": [\"eth0\"], \"limits\": {\"flows\": \"128k\"},"
		   " \"timeouts\": {\"tcp\": \"5m\"}}",
		   &config);
	assert_int_equal(config.limits.flows, 128 * 1024);
}

/* One thing is wrong in each. */
static const struct {
	const char *text, *expected;
} rows[] = {
	{ "", "1:1 the file is empty; expected interfaces and services\n" },
	{ "5", "1:1 expected a mapping with interfaces and services\n" },
	{ "a: b\n",
	  "1:1 unknown key 'a'; expected interfaces, control, snat, limits, timeouts, defaults, "
	  "services\n1:1 interfaces: missing; expected it here\n" },
	{ HEAD "limits: {a: b}\n",
	  "2:10 unknown key 'a'; expected flows, flows_v6, half_open, udp_share, icmp_rate, "
	  "reset_rate\n" },
	{ HEAD "defaults: {a: b}\n",
	  "2:12 unknown key 'a'; expected protocol, mode, scheduler, snat, outer_source, clear_df, "
	  "on_no_backend, fail_open, slow_start, affinity, timeouts, health, allow, deny, "
	  "backends\n" },
	{ HEAD "interfaces: [eth1]\n",
	  "2:1 duplicate key 'interfaces', also given in line 1; remove one\n" },
	{ HEAD "servces: []\n", "2:1 unknown key 'servces'; did you mean services?\n" },
	{ HEAD "[a]: b\n", "2:1 a key is a list or mapping; expected a word\n" },
	{ HEAD "services:\n", "2:10 services: has no value; expected a list\n" },
	{ HEAD "http: 127.0.0.1:9180\n", "2:7 http: is not supported yet; remove it\n" },
	{ HEAD "limits: {flows_v6: 0}\n",
	  "2:20 flows_v6: '0' is out of range; expected a number from 1 to 16777216, with k, M or "
	  "G if you like\n" },
	{ HEAD "snat: {addresses: [\"2001:db8::1\", \"ff05::1\"]}\n",
	  "2:35 snat.addresses: ff05::1 is a multicast address; expected that of one host\n" },
	{ HEAD "snat: {addresses: [\"[2001:db8::1]\"]}\n",
	  "2:20 addresses: '[2001:db8::1]' is no address; expected a list of IPv4 and IPv6 "
	  "addresses\n" },
	{ HEAD "a: &x 5\n",
	  "2:1 unknown key 'a'; expected interfaces, control, snat, limits, "
	  "timeouts, defaults, services\n2:4 anchors (&x) are not supported; write the "
	  "value out where it is needed\n" },
	{ HEAD "snat: *x\n", "2:7 aliases (*x) are not supported; write the value out, and if it "
			     "is an address, quote the address\n" },
	{ HEAD "control: {mode: !!int 0600}\n",
	  "2:17 tags (tag:yaml.org,2002:int) are not supported; remove it\n" },
	{ "%TAG ! tag:a,2000:\n---\n" HEAD, "1:1 tags (%TAG) are not supported; remove it\n" },
	{ HEAD "<<: {}\n", "2:1 merge keys (<<) are not supported; use defaults\n" },
	{ HEAD "---\na: b\n", "2:1 a second document begins; expected one in a file\n" },
	{ "[[[[[[[[[[[[[[[[[1, [2]], 3]]]]]]]]]]]]]]]]",
	  "1:1 expected a mapping with interfaces and services\n"
	  "1:17 lists and mappings are nested more than 16 deep\n" },
	{ HEAD "snat: {addresses: \"a\\0b\"}\n", "2:19 a text with a NUL character in it\n" },
	{ "interfaces: [\xff]\n", "1:14 not a text in UTF-8: invalid leading UTF-8 octet\n" },
	{ "interfaces: [eth0\nservices: 3\n",
	  "2:9 did not find expected ',' or ']' while parsing a flow sequence\n" },
	{ HEAD "services:\n- listen: [2001:db8::10]:80\n  name: x\n",
	  "3:11 did not find expected key; YAML gives '[' a meaning of its own here: quote the "
	  "address, as in \"[2001:db8::10]:80\"\n" },
	{ HEAD "services:\n- {name: x, listen: 1.2.3.4:5, backends: [1.2.3.5, [2001:db8::1]:80]}\n",
	  "3:52 a key is a list; YAML gives '[' a meaning of its own here: quote the address, as "
	  "in "
	  "\"[2001:db8::10]:80\"\n" },
	{ HEAD "services:\n- {name: x, listen: [[2001:db8::1]:80]}\n",
	  "3:22 a key is a list; YAML gives '[' a meaning of its own here: quote the address, as "
	  "in "
	  "\"[2001:db8::10]:80\"\n" },
	{ HEAD "services:\n- {name: x, listen: 1.2.3.4:5, allow: [::/0]}\n",
	  "3:40 did not find expected node content; YAML gives ':' a meaning of its own here: "
	  "quote "
	  "the address, as in \"[2001:db8::10]:80\"\n" },
	{ HEAD "limits:\n\tflows: 1\n", "3:1 found character that cannot start any token while "
					"scanning for the next token; indent "
					"with blanks, not with tabs\n" },
	{ HEAD "services:\n- {name: x, listen: *:80}\n",
	  "3:21 did not find expected alphabetic or numeric character; YAML gives '*' a meaning of "
	  "its own here: quote the address, as in \"[2001:db8::10]:80\"\n" },
	{ HEAD "limits: {half_open: 63}\n",
	  "2:21 half_open: '63' is out of range; expected a number from 64 to 4194304, with k, M "
	  "or G if you like\n" },
	{ HEAD "limits: {udp_share: \"5\"}\n",
	  "2:21 udp_share: \"5\" is a text; expected a number without quotes\n" },
	{ HEAD "limits: {half_open: \"100\"}\n",
	  "2:21 half_open: \"100\" is a text; expected a number without quotes\n" },
	{ HEAD "limits: 5\n", "2:9 limits: is a single value; expected a mapping\n" },
	{ HEAD "limits: {flows: {}}\n",
	  "2:17 flows: is a mapping; expected a number from 1 to 16777216, with k, M or G if you "
	  "like\n" },
	{ HEAD "control: {mode: 1777}\n",
	  "2:17 mode: '1777' is out of range; expected permission bits from 0000 to 0777, octal, "
	  "without quotes\n" },
	{ HEAD "control: {socket: weir.sock}\n",
	  "2:19 control.socket: 'weir.sock' is no path for a socket; expected one that begins with "
	  "'/', of at most 107 characters\n" },
	{ HEAD "snat: {addresses: [1.2.3.4, 1.2.3.4]}\n",
	  "2:29 snat.addresses: 1.2.3.4 is given twice; remove one\n" },
	{ HEAD "snat: {ports: 9-8}\n",
	  "2:15 ports: '9-8' is wrong; expected LOW-HIGH, 1 to 65535\n" },
	{ HEAD "defaults: {name: x}\n", "2:12 name: belongs to each service, not to defaults\n" },
	{ HEAD "services: [5]\n",
	  "2:12 services: expected a mapping with name, listen and backends\n" },
	{ HEAD "services: [{name: x}]\n", "2:12 listen: missing; expected it here\n" },
	{ WEB "  mode: tunnel\n", "5:9 mode: 'tunnel' is wrong; expected nat, dsr, ipip\n" },
	{ WEB "  mode: dsr\n  scheduler: wlc\n",
	  "6:14 service web: scheduler wlc: does not go with mode dsr, where weir does not see "
	  "connections end; expected maglev, hash, source, rr or wrr\n" },
	{ WEB "  scheduler: best\n",
	  "5:14 scheduler: 'best' is wrong; expected rr, wrr, lc, wlc, p2c, hash, source, "
	  "maglev\n" },
	{ WEB "  affinity: {by: cookie}\n", "5:18 by: 'cookie' is wrong; expected none, source\n" },
	{ WEB "  affinity: {timeout: 5m}\n", "5:13 by: missing; expected it here\n" },
	{ WEB "  affinity: {by: source, timeout: 1ms}\n",
	  "5:35 timeout: '1ms' is out of range; expected a time from 100ms to 168h, such as "
	  "500ms, 30s or 2h4m\n" },
	{ WEB "  protocol: [tcp, tcp]\n", "5:19 protocol: tcp is given twice; remove one\n" },
	{ WEB "  protocol: sctp\n", "5:13 protocol: 'sctp' is unknown; expected tcp or udp\n" },
	{ WEB "  fail_open: yes\n", "5:14 fail_open: 'yes' is wrong; expected true or false\n" },
	{ WEB "  timeouts: {tcp: 1ms}\n",
	  "5:19 tcp: '1ms' is out of range; expected a time from 100ms to 168h, such as 500ms, "
	  "30s or 2h4m\n" },
	{ HEAD "services: [{name: x, listen: \"2001:db8::1:80\"}]\n",
	  "2:30 listen: '2001:db8::1:80' is no address with a port; expected ADDR:PORT, "
	  "ADDR:LOW-HIGH or ADDR:any, IPv6 as \"[ADDR]:PORT\"\n" },
	{ HEAD "services: [{name: x, listen: \"[fe80::1%eth0]:80\"}]\n",
	  "2:30 listen: '[fe80::1%eth0]:80' is no address with a port; expected ADDR:PORT, "
	  "ADDR:LOW-HIGH or ADDR:any, IPv6 as \"[ADDR]:PORT\"\n" },
	{ HEAD "services: [{name: x, listen: \"[fe80::1]:80\", backends: [1.2.3.4]}]\n",
	  "2:30 service x: listen: [fe80::1]:80 is a link-local address, which means another host "
	  "on each link; expected a global one, or one of fd00::/8\n" },
	{ WEB "  backends: [5.6.7.8, \"2001:db8::1\", {address: \"[2001:db8::2]:81\"}, \"::1\"]\n",
	  "5:23 service web: backend [2001:db8::1]:80 is IPv6, the service IPv4: nat does not "
	  "translate between IPv6 and IPv4; use ipip, or backends of the same family\n"
	  "5:48 service web: backend [2001:db8::2]:81 is IPv6, the service IPv4: nat does not "
	  "translate between IPv6 and IPv4; use ipip, or backends of the same family\n"
	  "5:69 service web: backend: [::1]:80 is a loopback address, which never reaches a "
	  "network; use another\n" },
	{ HEAD "services: [{name: x, listen: [1.2.3.4:80, \"[2001:db8::1]:80\"], mode: dsr,\n"
	       "  backends: [\"2001:db8::2\"]}]\n",
	  "2:43 service x: listen: [2001:db8::1]:80 is IPv6 and 1.2.3.4:80 IPv4, which mode dsr "
	  "cannot serve with the same backends; make two services of it, or use ipip\n" },
	{ WEB "  outer_source: fixed\n",
	  "5:17 service web: outer_source: does not go with mode nat, which has no outer header; "
	  "remove it, or use mode ipip\n" },
	{ WEB "  mode: ipip\n  outer_source: any\n",
	  "6:17 outer_source: 'any' is wrong; expected spread, fixed\n" },
	{ HEAD "defaults: {clear_df: true, mode: dsr}\nservices:\n- {name: x, listen: 1.2.3.4:5}\n",
	  "2:22 service x: clear_df: does not go with mode dsr, which has no outer header; remove "
	  "it, or use mode ipip\n" },
	{ WEB "  mode: ipip\n  clear_df: maybe\n",
	  "6:13 clear_df: 'maybe' is wrong; expected true or false\n" },
	{ HEAD "services: [{name: x, listen: \"1.2.3.4:9-5\"}]\n",
	  "2:30 listen: '1.2.3.4:9-5' is no address with a port; expected ADDR:PORT, "
	  "ADDR:LOW-HIGH or ADDR:any, IPv6 as \"[ADDR]:PORT\"\n" },
	{ HEAD "services: [{name: x, listen: 1.2.3.4:22-23, except: [20-30]}]\n",
	  "2:30 service x: listen: 1.2.3.4:22-23 has no port that except leaves to it\n" },
	{ WEB "  except: [22]\n",
	  "5:11 except: the service listens on single ports; it goes with ADDR:any and "
	  "ADDR:LOW-HIGH\n" },
	{ WEB "- {name: b, listen: 1.2.3.5:any, except: [22, 0, 5-3, []], health: {type: none}}\n",
	  "5:47 except: '0' is wrong; expected PORT or LOW-HIGH, 1 to 65535\n"
	  "5:50 except: '5-3' is wrong; expected PORT or LOW-HIGH, 1 to 65535\n"
	  "5:55 except: '[...]' is wrong; expected PORT or LOW-HIGH, 1 to 65535\n" },
	{ WEB "  except: 22\n",
	  "5:11 except: is a single value; expected a list of ports and ranges, LOW-HIGH\n" },
	{ HEAD "defaults: {except: [22]}\n",
	  "2:12 except: belongs to each service, not to defaults\n" },
	{ WEB "- {name: b, listen: 1.2.3.4:any, except: [79, 81]}\n",
	  "5:21 services web and b: 1.2.3.4:any/tcp has ports of 1.2.3.4:80; except must name "
	  "those that a range or any leaves to another service\n" },
	{ WEB "- {name: b, listen: 1.2.3.4:any, except: [80]}\n"
	      "- {name: c, listen: [1.2.3.4:80-81]}\n",
	  "6:22 services web and c: 1.2.3.4:80-81/tcp has ports of 1.2.3.4:80; except must name "
	  "those that a range or any leaves to another service\n" },
	{ WEB "- {name: b, listen: [1.2.3.5:any/udp, 1.2.3.5:53], protocol: udp}\n",
	  "5:39 service b: listens on 1.2.3.5:53/udp and on 1.2.3.5:any, which has ports of it; "
	  "remove one\n" },
	{ WEB "- {name: b, listen: 1.2.3.5:any}\n- {name: c, listen: 1.2.3.5:8}\n"
	      "- {name: d, listen: 1.2.3.5:9}\n",
	  "6:21 services b and c: 1.2.3.5:8/tcp has ports of 1.2.3.5:any; except must name those "
	  "that a range or any leaves to another service\n"
	  "7:21 services b and d: 1.2.3.5:9/tcp has ports of 1.2.3.5:any; except must name those "
	  "that a range or any leaves to another service\n" },
	{ WEB "- {name: b, listen: 1.2.3.5:5-9}\n- {name: c, listen: 1.2.3.5:5-9}\n",
	  "6:21 services b and c: both listen on 1.2.3.5:5-9/tcp; remove one\n" },
	{ WEB "- {name: b, listen: 1.2.3.5:any, backends: [5.6.7.8], health: {interval: 5s}}\n",
	  "5:63 service b: health.port: missing; backend 5.6.7.8:any has no port of its own to "
	  "check by tcp; name one, or use type icmp\n" },
	{ WEB "- {name: b, listen: 1.2.3.5:any, backends: [5.6.7.8:any]}\n",
	  "5:3 service b: health.port: missing; backend 5.6.7.8:any has no port of its own to "
	  "check by tcp; name one, or use type icmp\n" },
	{ WEB "- {name: b, listen: 1.2.3.5:any, mode: dsr, backends: [5.6.7.8:80]}\n",
	  "5:56 service b: backend 5.6.7.8:80: mode dsr changes no port; expected none, for it "
	  "listens on several\n" },
	{ WEB "- {name: b, listen: 1.2.3.5:70-90, health: {port: 5}, backends: [1.2.3.4]}\n",
	  "5:66 service b: backend 1.2.3.4:any is listened on by weir itself, packets would go "
	  "round for ever; name the server's own address\n" },
	{ WEB
	  "- {name: b, listen: 1.2.3.5:70-90, backends: [1.2.3.4:80, 1.2.3.5:90, 1.2.3.5:91]}\n",
	  "5:47 service b: backend 1.2.3.4:80 is listened on by weir itself, packets would go "
	  "round for ever; name the server's own address\n"
	  "5:59 service b: backend 1.2.3.5:90 is listened on by weir itself, packets would go "
	  "round for ever; name the server's own address\n" },
	{ WEB "  allow: [10.0.0.0/8, 10.1.0.0/8]\n",
	  "5:23 allow: '10.1.0.0/8' has bits set behind its length; expected 10.0.0.0/8 for the "
	  "network, or the address alone\n" },
	{ WEB "  deny: [10.0.0.0/33, {}, x]\n",
	  "5:10 deny: '10.0.0.0/33' is wrong; expected a network, ADDR/LENGTH, or an address\n"
	  "5:23 deny: '[...]' is wrong; expected a network, ADDR/LENGTH, or an address\n"
	  "5:27 deny: 'x' is wrong; expected a network, ADDR/LENGTH, or an address\n" },
	{ WEB "  allow: 10.0.0.0/8\n",
	  "5:10 allow: is a single value; expected a list of networks, ADDR/LENGTH\n" },
	{ WEB "  allow: [10.0.0.0/8]\n  deny: [10.0.0.0/9, 10.0.0.0/8, 192.0.2.1, 192.0.2.1/32]\n",
	  "6:22 service web: deny: 10.0.0.0/8 is in allow, too; remove one\n"
	  "6:45 service web: deny: 192.0.2.1/32 is given twice; remove one\n" },
	/* Where the second one stands, which services inherit; once. */
	{ HEAD "defaults: {allow: [10.0.0.0/8, 10.0.0.0/8]}\nservices:\n"
	       "- {name: a, listen: 1.2.3.4:1}\n- {name: b, listen: 1.2.3.4:2}\n",
	  "2:32 service a: allow: 10.0.0.0/8 is given twice; remove one\n" },
	{ HEAD "defaults: {allow: [10.0.0.0/8]}\nservices:\n"
	       "- {name: a, listen: 1.2.3.4:1, deny: [10.0.0.0/8]}\n",
	  "4:39 service a: deny: 10.0.0.0/8 is in allow, too; remove one\n" },
	{ WEB "- {name: b, listen: [1.2.3.4:81, 1.2.3.4:80]}\n",
	  "5:34 services web and b: both listen on 1.2.3.4:80/tcp; remove one\n" },
	{ WEB "- {name: web, listen: 1.2.3.4:81}\n",
	  "5:10 service web: two services have this name; rename one\n" },
	{ WEB "  backends: [5.6.7.8, {address: 5.6.7.8:80}]\n",
	  "5:33 service web: backend 5.6.7.8:80 is given twice; remove one\n" },
	{ WEB "  backends: [1.2.3.4]\n",
	  "5:14 service web: backend 1.2.3.4:80 is listened on by weir itself, packets would go "
	  "round for ever; name the server's own address\n" },
	{ WEB "- {name: b, listen: [1.2.3.4:1, 1.2.3.4:2], backends: [5.6.7.8]}\n",
	  "5:56 address: has no port, and the service listens on several; expected ADDR:PORT\n" },
	{ WEB "  backends: [{weight: 257, address: 5.6.7.8}]\n",
	  "5:23 weight: '257' is out of range; expected a number from 0 to 256\n" },
	{ WEB "  scheduler: hash\n  slow_start: 1s\n",
	  "6:15 service web: slow_start: does not go with scheduler hash, where a share that rises "
	  "moves other clients; remove one\n" },
	{ WEB "  scheduler: source\n  slow_start: 1s\n",
	  "6:15 service web: slow_start: does not go with scheduler source, where a share that "
	  "rises moves other clients; remove one\n" },
	{ WEB "  health: {timeout: 3s}\n",
	  "5:21 service web: health.timeout: 3000ms is longer than the interval, 2000ms; expected "
	  "at most that\n" },
	{ WEB "  health: {body: x}\n",
	  "5:18 service web: health.body: does not fit type tcp; expected type http or https\n" },
	{ WEB "  health: {type: http, path: x}\n",
	  "5:30 service web: health.path: 'x' does not begin with '/'\n" },
	{ WEB "  health: {type: http, host: \"a\\r\\nb\"}\n",
	  "5:30 service web: health.host: 'a??b' has a blank or control character in it\n" },
	{ WEB "  health: {type: exec}\n",
	  "5:11 service web: health.command: missing; type exec needs one\n" },
	{ WEB "  health: {type: dns, path: x}\n",
	  "5:18 type: 'dns' is wrong; expected tcp, http, https, icmp, exec, none\n" },
	/* Where the value stands, which two services inherit; once. */
	{ HEAD "defaults: {health: {timeout: 3s}}\nservices:\n- {name: a, listen: 1.2.3.4:1}\n"
	       "- {name: b, listen: 1.2.3.4:2}\n",
	  "2:30 service a: health.timeout: 3000ms is longer than the interval, 2000ms; expected at "
	  "most that\n" },
};

static void test_rows(void **state)
{
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_refused(rows[i].text, rows[i].expected);
}

static void test_all_errors_in_order(void **state)
{
	assert_refused(
		"interfaces: [a/b, eth0, eth0]\n"
		"limits: {flows: 0, foo: 1}\n"
		"services:\n"
		"- {name: A, listen: 1.2.3.4:1, slow_start: 3}\n"
		"- {name: b, listen: [1.2.3.4:1, 5], backends: [9, 1.2.3.4:1]}\n",
		"1:14 interfaces: 'a/b' is no interface name\n"
		"1:25 interfaces: eth0 is given twice; remove one\n"
		"2:17 flows: '0' is out of range; expected a number from 1 to 16777216, with "
		"k, M or G if you like\n"
		"2:20 unknown key 'foo'; expected flows, flows_v6, half_open, udp_share, "
		"icmp_rate, reset_rate\n"
		"4:10 service 'A': bad name; expected 1 to 63 of a-z, 0-9 and '-'\n"
		"4:44 slow_start: '3' is wrong; expected a time from 0 to 24h, such as 500ms, "
		"30s or 2h4m\n"
		"5:22 services A and b: both listen on 1.2.3.4:1/tcp; remove one\n"
		"5:33 listen: '5' is no address with a port; expected ADDR:PORT, ADDR:LOW-HIGH or "
		"ADDR:any, IPv6 as \"[ADDR]:PORT\"\n"
		"5:48 address: '9' is wrong; expected ADDR or ADDR:PORT\n"
		"5:51 service b: backend 1.2.3.4:1 is listened on by weir itself, packets "
		"would go round for ever; name the server's own address\n");
}

static void test_file(void **state)
{
	_cleanup_(config_free) struct config config, same;
	char path[] = "/tmp/weir-config-XXXXXX";
	const int fd = mkstemp(path);

	config_init(&config);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, good_config, sizeof(good_config) - 1), sizeof(good_config) - 1);
	close(fd);
	assert_int_equal(config_file_load(path, &config, fail_on_error, NULL), 0);
	parse_good(good_config, &same);
	assert_config_equal(&config, &same);
	unlink(path);
	assert_int_equal(config_file_load(path, &config, fail_on_error, NULL), -ENOENT);
	assert_int_equal(config_file_load("/", &config, fail_on_error, NULL), -EISDIR);
}

static void test_byte_order_mark(void **state)
{
	_cleanup_(config_free) struct config config;

	parse_good("\xef\xbb\xbf" HEAD, &config);
	assert_int_equal(config.interface_count, 1);
}

static void test_no_memory(void **state)
{
	for (unsigned int nth = 1;; nth++) {
		_cleanup_(config_free) struct config config;
		int r;

		config_init(&config);
		allocation_fail_at(nth);
		r = config_file_parse(good_config, strlen(good_config), &config, fail_on_error,
				      NULL);
		allocation_fail_at(0);
		if (r == 0) {
			assert_true(nth > 20);
			break;
		}
		assert_int_equal(r, -ENOMEM);
	}
}

static char *make_many(void)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	fputs(HEAD "services:\n", out);
	for (unsigned int i = 0; i < 10000; i++) {
		fprintf(out, "  - name: s%u\n    listen: 10.0.%u.%u:80\n    backends:\n", i, i >> 8,
			i & 255);
		for (unsigned int j = 0; j < 10; j++)
			fprintf(out, "      - {address: 10.1.%u.%u:%u, weight: %u}\n", i >> 8,
				i & 255, 80 + j, j);
	}
	fclose(out);
	return text;
}

static void test_many_in_little_time(void **state)
{
	_cleanup_(config_free) struct config config;
	_cleanup_free_ char *text = make_many();
	const clock_t before = clock();

	parse_good(text, &config);
	assert_int_equal(config.services[9999].backend_count, 10);
	/* A fifth of a second without sanitizers. */
	assert_true(clock() - before < 10 * CLOCKS_PER_SEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_one),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_health_follows_protocol),
		cmocka_unit_test(test_sizes_as_texts),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_all_errors_in_order),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_byte_order_mark),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_many_in_little_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
