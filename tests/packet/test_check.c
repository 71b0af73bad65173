// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/address.h"
#include "src/base/cleanup.h"
#include "src/datapath/check_path.h"

#include "tests/packet/harness.h"

/* The programs that lead health checks to the service address, frame by frame. */

enum { OWNER = 4711, PLACE = 5, PORT = 8000, IPIP = 4, IP6 = 41, ICMP6 = 58, OUTER_TTL = 64 };
enum { ECHO = 8, ECHO_REPLY = 0, ECHO6 = 128, ECHO6_REPLY = 129 };

/* The host's own, as its stack sees them; a place of the check range is 5 in each. */
static const char *const SENDER[] = { "192.168.178.77", "fd00::77" };
static const char *const CHECK[] = { "198.18.64.5", "2001:2:0:1::5" };
static const char *const SERVICE[] = { "10.9.9.9", "fd00:9::9" };
static const char *const SOURCE[] = { "192.168.178.10", "fd00::10" };
static const char *const BACKEND[] = { "192.168.178.11", "fd00::11" };

/* An IP packet without options. */
struct described {
	bool v6;
	const char *source, *destination;
	uint8_t protocol, type, ttl, tos;
	uint16_t source_port, destination_port; /* ICMP: id and sequence */
	bool no_checksum;
};

static struct weir_address address(const char *text)
{
	struct weir_address parsed;

	assert_int_equal(address_parse(text, &parsed), 0);
	return parsed;
}

static size_t put_address(uint8_t *at, const char *text)
{
	struct weir_address parsed = address(text);
	size_t length = address_is_v4(&parsed) ? 4 : 16;

	memcpy(at, (uint8_t *)&parsed + sizeof(parsed) - length, length);
	return length;
}

static void put_ip4(uint8_t *at, const struct described *what, size_t length)
{
	memset(at, 0, 20);
	at[0] = 0x45;
	at[1] = what->tos;
	put16(at + 2, (uint16_t)(20 + length));
	put16(at + 6, 0x4000);
	at[8] = what->ttl;
	at[9] = what->protocol;
	put_address(at + 12, what->source);
	put_address(at + 16, what->destination);
	put16(at + 10, slow_checksum(at, 20));
}

static void put_ip6(uint8_t *at, const struct described *what, size_t length)
{
	memset(at, 0, 40);
	put16(at, (uint16_t)(0x6000 | what->tos << 4));
	put16(at + 4, (uint16_t)length);
	at[6] = what->protocol;
	at[7] = what->ttl;
	put_address(at + 8, what->source);
	put_address(at + 24, what->destination);
}

/* With the pseudo header that its family and protocol have. */
static uint16_t l4_checksum(const struct described *what, const uint8_t *l4, size_t length)
{
	uint8_t bytes[256] = {};
	size_t at = 0;

	if (what->protocol != PROTOCOL_ICMP) {
		at += put_address(bytes, what->source);
		at += put_address(bytes + at, what->destination);
		put16(bytes + at, (uint16_t)length);
		put16(bytes + at + 2, what->protocol);
		at += 4;
	}
	memcpy(bytes + at, l4, length);
	return slow_checksum(bytes, at + length);
}

static size_t put_l4(uint8_t *at, const struct described *what)
{
	bool tcp = what->protocol == PROTOCOL_TCP, udp = what->protocol == PROTOCOL_UDP;
	size_t length = 33, checksum = tcp ? 16 : udp ? 6 : 2;

	for (size_t i = 0; i < length; i++)
		at[i] = (uint8_t)(7 * i);
	put16(at + (tcp || udp ? 0 : 4), what->source_port);
	put16(at + (tcp || udp ? 2 : 6), what->destination_port);
	if (tcp)
		put16(at + 12, 0x5002);
	else if (udp)
		put16(at + 4, (uint16_t)length);
	else
		put16(at, (uint16_t)(what->type << 8));
	put16(at + checksum, 0);
	if (!what->no_checksum)
		put16(at + checksum, l4_checksum(what, at, length));
	return length;
}

/* @outer: NULL, or the header in front. */
static struct frame frame_from(const struct described *what, const struct described *outer,
			       const struct weir_check *way)
{
	bool v6 = outer ? outer->v6 : what->v6;
	size_t front = outer ? outer->v6 ? 40 : 20 : 0, header = what->v6 ? 40 : 20, l4;
	struct frame frame = {};
	uint8_t *ip = frame.bytes + ETHERNET_LENGTH;

	if (way) {
		memcpy(frame.bytes, way->destination_mac, 6);
		memcpy(frame.bytes + 6, way->source_mac, 6);
	}
	put16(frame.bytes + 12, v6 ? 0x86dd : 0x0800);
	l4 = put_l4(ip + front + header, what);
	(what->v6 ? put_ip6 : put_ip4)(ip + front, what, l4);
	if (outer)
		(outer->v6 ? put_ip6 : put_ip4)(ip, outer, header + l4);
	frame.length = ETHERNET_LENGTH + front + header + l4;
	return frame;
}

static struct weir_check way_to(bool v6, bool encapsulate, bool outer_v6)
{
	return (struct weir_check){
		.service = address(SERVICE[v6]),
		.source = address(SOURCE[v6]),
		.outer_source = address(SOURCE[outer_v6]),
		.outer_destination = address(BACKEND[outer_v6]),
		.destination_mac = { 2, 0, 0, 0, 0, 11 },
		.source_mac = { 2, 0, 0, 0, 0, 10 },
		.ifindex = if_nametoindex("weir0"),
		.encapsulate = encapsulate,
	};
}

/* What is handed back to the stack. */
static const struct weir_check home = { .destination_mac = WEIR_CHECK_MAC };

static int setup(void **state)
{
	struct error error;

	assert_int_equal(check_path_open(OWNER, (struct check_path **)state, &error), 0);
	return 0;
}

static int teardown(void **state)
{
	check_path_close(*state);
	return 0;
}

/* Runs @in; it must leave as @out (NULL: as it is) with @verdict. */
static void assert_run(void **state, enum check_side side, const struct frame *in, uint32_t verdict,
		       const struct frame *out)
{
	struct frame got;
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = in->bytes,
		    .data_size_in = (uint32_t)in->length, .data_out = got.bytes,
		    .data_size_out = sizeof(got.bytes), .repeat = 1);

	assert_int_equal(bpf_prog_test_run_opts(check_path_fd(*state, side), &options), 0);
	assert_int_equal((int)options.retval, (int)verdict);
	if (!out)
		out = in;
	if (verdict == TC_ACT_SHOT)
		return;
	assert_int_equal(options.data_size_out, out->length);
	assert_memory_equal(got.bytes, out->bytes, out->length);
}

/* As the stack sends it, and as the backend must get it. */
static void describe(bool v6, uint8_t protocol, struct described *sent, struct described *wanted)
{
	*sent = (struct described){
		.v6 = v6,
		.source = SENDER[v6],
		.destination = CHECK[v6],
		.protocol = protocol == PROTOCOL_ICMP && v6 ? ICMP6 : protocol,
		.type = v6 ? ECHO6 : ECHO,
		.ttl = 64,
		.tos = 0xb8,
		.source_port = 40000,
		.destination_port = PORT,
	};
	*wanted = *sent;
	wanted->source = SOURCE[v6];
	wanted->destination = SERVICE[v6];
	wanted->ttl = WEIR_CHECK_TTL;
}

static struct described reply_to(const struct described *asked)
{
	struct described reply = *asked;

	reply.source = asked->destination;
	reply.destination = asked->source;
	reply.ttl = 61;
	if (asked->protocol == PROTOCOL_TCP || asked->protocol == PROTOCOL_UDP) {
		reply.source_port = asked->destination_port;
		reply.destination_port = asked->source_port;
	} else {
		reply.type = asked->v6 ? ECHO6_REPLY : ECHO_REPLY;
	}
	return reply;
}

static void assert_there_and_back(void **state, struct described sent, struct described wanted,
				  const struct described *outer)
{
	struct weir_check way = way_to(sent.v6, outer, outer ? outer->v6 : sent.v6);
	struct described answer = reply_to(&wanted), heard = reply_to(&sent);
	struct frame in = frame_from(&sent, NULL, NULL), out = frame_from(&wanted, outer, &way);
	struct frame back = frame_from(&answer, NULL, NULL);
	struct frame handed = frame_from(&heard, NULL, &home);

	assert_int_equal(check_path_set(*state, PLACE, &way), 0);
	assert_run(state, CHECK_OUT, &in, TC_ACT_REDIRECT, &out);
	assert_run(state, CHECK_IN, &back, TC_ACT_REDIRECT, &handed);
}

static const uint8_t protocols[] = { PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP };

static void direct(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		for (size_t i = 0; i < sizeof(protocols); i++) {
			struct described sent, wanted;

			describe(v6, protocols[i], &sent, &wanted);
			assert_there_and_back(state, sent, wanted, NULL);
		}
	}
}

static void encapsulated(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		for (int outer_v6 = 0; outer_v6 < 2; outer_v6++) {
			for (size_t i = 0; i < sizeof(protocols); i++) {
				struct described sent, wanted,
					outer = {
						.v6 = outer_v6,
						.source = SOURCE[outer_v6],
						.destination = BACKEND[outer_v6],
						.protocol = v6 ? IP6 : IPIP,
						.ttl = OUTER_TTL,
						.tos = 0xb8,
					};

				describe(v6, protocols[i], &sent, &wanted);
				assert_there_and_back(state, sent, wanted, &outer);
			}
		}
	}
}

static void no_udp_checksum(void **state)
{
	struct described sent, wanted;

	describe(false, PROTOCOL_UDP, &sent, &wanted);
	sent.no_checksum = wanted.no_checksum = true;
	assert_there_and_back(state, sent, wanted, NULL);
}

static void leads_nowhere(void **state)
{
	struct weir_check way = way_to(false, false, false);
	struct described sent, other, wanted;
	struct frame frame;

	describe(false, PROTOCOL_TCP, &sent, &wanted);
	frame = frame_from(&sent, NULL, NULL);
	assert_run(state, CHECK_OUT, &frame, TC_ACT_SHOT, NULL);
	check_path_set(*state, PLACE, &way);
	other = sent;
	other.destination = "198.18.64.6";
	frame = frame_from(&other, NULL, NULL);
	assert_run(state, CHECK_OUT, &frame, TC_ACT_SHOT, NULL);
	describe(true, PROTOCOL_TCP, &other, &wanted);
	frame = frame_from(&other, NULL, NULL);
	assert_run(state, CHECK_OUT, &frame, TC_ACT_SHOT, NULL);
	frame = frame_from(&sent, NULL, NULL);
	frame.bytes[20] = 0x20; /* a fragment */
	assert_run(state, CHECK_OUT, &frame, TC_ACT_SHOT, NULL);
	frame = frame_from(&sent, NULL, NULL);
	frame.bytes[23] = 132; /* SCTP */
	assert_run(state, CHECK_OUT, &frame, TC_ACT_SHOT, NULL);
	frame = frame_from(&sent, NULL, NULL);
	frame.bytes[12] = 0x88;
	assert_run(state, CHECK_OUT, &frame, TC_ACT_SHOT, NULL);
	check_path_set(*state, PLACE, NULL);
	frame = frame_from(&sent, NULL, NULL);
	assert_run(state, CHECK_OUT, &frame, TC_ACT_SHOT, NULL);
	assert_int_equal(check_path_set(*state, PLACE, NULL), 0);
}

/* Nobody has asked for it: not one byte changes. */
static void leaves_all_else_alone(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		for (size_t i = 0; i < sizeof(protocols); i++) {
			struct described sent, wanted, answer;
			struct weir_check way = way_to(v6, false, v6);
			struct frame frame, sought;

			check_path_set(*state, PLACE, &way);
			describe(v6, protocols[i], &sent, &wanted);
			answer = reply_to(&wanted);
			frame = frame_from(&answer, NULL, NULL);
			assert_run(state, CHECK_IN, &frame, (uint32_t)TC_ACT_UNSPEC, NULL);
			frame = frame_from(&sent, NULL, NULL);
			sought = frame_from(&wanted, NULL, &way);
			assert_run(state, CHECK_OUT, &frame, TC_ACT_REDIRECT, &sought);
			answer.source_port++;
			frame = frame_from(&answer, NULL, NULL);
			assert_run(state, CHECK_IN, &frame, (uint32_t)TC_ACT_UNSPEC, NULL);
			answer.source_port--;
			answer.destination = SENDER[v6];
			frame = frame_from(&answer, NULL, NULL);
			assert_run(state, CHECK_IN, &frame, (uint32_t)TC_ACT_UNSPEC, NULL);
			answer.destination = wanted.source;
			frame = frame_from(&answer, NULL, NULL);
			frame.bytes[0] = 2; /* to another host */
			assert_run(state, CHECK_IN, &frame, (uint32_t)TC_ACT_UNSPEC, NULL);
		}
	}
}

/* The program's map of what was sent, found by its name. */
static int asked_map(void **state)
{
	struct bpf_prog_info program = {};
	uint32_t ids[8], size = sizeof(program);

	program.nr_map_ids = 8;
	program.map_ids = (uintptr_t)ids;
	assert_int_equal(bpf_obj_get_info_by_fd(check_path_fd(*state, CHECK_IN), &program, &size),
			 0);
	for (uint32_t i = 0; i < program.nr_map_ids; i++) {
		int fd = bpf_map_get_fd_by_id(ids[i]);
		struct bpf_map_info map = {};

		size = sizeof(map);
		assert_int_equal(bpf_obj_get_info_by_fd(fd, &map, &size), 0);
		if (!strcmp(map.name, "asked"))
			return fd;
		close(fd);
	}
	fail_msg("no map");
	return -1;
}

/* The check is over, and a connection of the host's own has its port: its replies are left alone. */
static void another_socket_has_the_port(void **state)
{
	const struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(40000) };
	struct sockaddr_in check = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	_cleanup_close_ int map = asked_map(state);
	struct weir_check way = way_to(false, false, false);
	struct described sent, wanted, answer;
	struct weir_check_asked asked;
	struct weir_tuple key;
	struct frame in, out, back;
	int fd;

	describe(false, PROTOCOL_TCP, &sent, &wanted);
	sent.source = "192.168.178.10";
	answer = reply_to(&wanted);
	in = frame_from(&sent, NULL, NULL);
	back = frame_from(&answer, NULL, NULL);
	check_path_set(*state, PLACE, &way);
	out = frame_from(&wanted, NULL, &way);
	assert_run(state, CHECK_OUT, &in, TC_ACT_REDIRECT, &out);
	assert_int_equal(bpf_map_get_next_key(map, NULL, &key), 0);
	assert_int_equal(bpf_map_lookup_elem(map, &key, &asked), 0);
	asked.time_ns -= 11ULL * 1000 * 1000 * 1000;
	assert_int_equal(bpf_map_update_elem(map, &key, &asked, BPF_ANY), 0);
	assert_run(state, CHECK_IN, &back, (uint32_t)TC_ACT_UNSPEC, NULL);

	/* But one that waits longer than that for its answer gets it. */
	assert_int_equal(system("ip route add 198.18.64.0/18 dev weir0"), 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&own, sizeof(own)), 0);
	inet_pton(AF_INET, CHECK[0], &check.sin_addr);
	assert_int_equal(connect(fd, (const struct sockaddr *)&check, sizeof(check)), -1);
	assert_int_equal(errno, EINPROGRESS);
	answer = reply_to(&sent);
	out = frame_from(&answer, NULL, &home);
	assert_run(state, CHECK_IN, &back, TC_ACT_REDIRECT, &out);
	close(fd);
}

static unsigned int filters(const char *interface)
{
	char command[128], line[256];
	unsigned int count = 0;
	FILE *pipe;

	snprintf(command, sizeof(command), "tc filter show dev %s ingress", interface);
	pipe = popen(command, "r");
	while (fgets(line, sizeof(line), pipe))
		count += strstr(line, " handle ") != NULL;
	pclose(pipe);
	return count;
}

/* Kernels before 6.6 have no tcx: the filter of a killed daemon stays, others' are not touched. */
static void filters_come_and_go(void **state)
{
	uint32_t ifindex = if_nametoindex("weir0");
	struct check_path *other = NULL;
	struct error error;

	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, others, .handle = 1, .priority = 1,
		    .prog_fd = check_path_fd(*state, CHECK_IN));

	assert_int_equal(bpf_tc_hook_create(&hook), 0);
	assert_int_equal(bpf_tc_attach(&hook, &others), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(check_path_attach_filter(*state, ifindex, CHECK_IN, &error), 0);
	assert_int_equal(filters("weir0"), 2);
	/* The next daemon takes its place, one of another instance has its own. */
	assert_int_equal(check_path_open(OWNER, &other, &error), 0);
	assert_int_equal(check_path_attach_filter(other, ifindex, CHECK_IN, &error), 0);
	assert_int_equal(filters("weir0"), 2);
	check_path_close(other);
	assert_int_equal(filters("weir0"), 1);
	assert_int_equal(check_path_open(OWNER + 1, &other, &error), 0);
	assert_int_equal(check_path_attach_filter(other, ifindex, CHECK_IN, &error), 0);
	assert_false(check_path_remove_filter(OWNER, ifindex));
	assert_true(check_path_remove_filter(OWNER + 1, ifindex));
	assert_int_equal(filters("weir0"), 1);
	check_path_close(other);
	assert_int_equal(system("tc qdisc del dev weir0 clsact"), 0);
	assert_false(check_path_remove_filter(OWNER, ifindex));
}

static void cannot_attach(void **state)
{
	struct error error;

	assert_int_equal(check_path_attach(*state, 4711, CHECK_IN, &error), -ENODEV);
	assert_non_null(strstr(error.text, "No such device"));
}

#define check_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		check_test(direct),
		check_test(encapsulated),
		check_test(no_udp_checksum),
		check_test(leads_nowhere),
		check_test(leaves_all_else_alone),
		check_test(another_socket_has_the_port),
		check_test(filters_come_and_go),
		check_test(cannot_attach),
	};

	return packet_tests(tests);
}
