// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/kill.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netpacket/packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "src/base/log.h"
#include "src/daemon/internal.h"
#include "src/daemon/reset_frame.h"

#include "tests/unit/unit.h"

/* Which flows are told that they were killed, in which steps, and through which next hops. */

#define RECORDS 40000
#define JIFFIES 5000

static struct {
	struct weir_kill calls[64];
	size_t call_count;
	size_t frame_count;
	struct sockaddr_ll to[8192];
	uint8_t frames[8192][RESET_FRAME_MOST];
	int error;
} seen;

static struct weir_flow4 records[RECORDS];
static struct weir_hop hops[8];
static struct weir_backend backends[4];

static const struct datapath_tables tables = {
	.hops = hops,
	.backends = backends,
	.flows4 = records,
	.records = { RECORDS },
	.sizes = { .hops = 8 },
};

/* Stand-ins. This kills ESTABLISHED flows of the filter's backend, or of those that are marked. */
int datapath_kill(struct datapath *datapath, struct weir_kill *kill)
{
	uint32_t count = kill->count;

	seen.calls[seen.call_count++] = *kill;
	kill->killed = 0;
	for (kill->count = 0; kill->count < count && kill->killed < WEIR_KILL_MOST; kill->count++) {
		struct weir_flow4 *flow = &records[kill->first + kill->count];

		if (flow->flow.control.state != WEIR_FLOW_ESTABLISHED ||
		    (kill->marked && !backends[flow->flow.backend_id].cut) ||
		    (kill->backend_id && kill->backend_id != flow->flow.backend_id))
			continue;
		flow->flow.control.state = WEIR_FLOW_KILLED;
		flow->flow.last_seen = JIFFIES + 1;
		kill->killed++;
	}
	return seen.error;
}

uint64_t datapath_jiffies(struct datapath *datapath)
{
	return JIFFIES;
}

void log_write(enum log_level level, const char *format, ...)
{
}

int socket(int domain, int type, int protocol)
{
	assert_int_equal(domain, AF_PACKET);
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

ssize_t sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr,
	       socklen_t addr_len)
{
	assert_true(n == 54 || n == 58); /* with a tag */
	assert_int_equal(addr_len, sizeof(struct sockaddr_ll));
	memcpy(&seen.to[seen.frame_count], addr, sizeof(struct sockaddr_ll));
	memcpy(seen.frames[seen.frame_count++], buf, n);
	return (ssize_t)n;
}

static void hop_set(uint16_t id, uint8_t mac, uint32_t ifindex, uint16_t flags)
{
	memset(&hops[id], 0, sizeof(hops[id]));
	memset(hops[id].destination.mac, mac, 6);
	memset(hops[id].source.mac, mac + 1, 6);
	hops[id].destination.flags = flags;
	hops[id].ifindex = ifindex;
}

static int setup(void **state)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));

	memset(&seen, 0, sizeof(seen));
	memset(records, 0, sizeof(records));
	memset(backends, 0, sizeof(backends));
	hop_set(1, 0x10, 3, WEIR_HOP_VALID);
	hop_set(2, 0x20, 4, WEIR_HOP_VALID | WEIR_HOP_ON_LINK);
	hop_set(3, 0x30, 5, WEIR_HOP_VALID);
	hop_set(4, 0x40, 6, 0);
	daemon->tables = &tables;
	uv_loop_init(&daemon->loop);
	*state = daemon;
	return 0;
}

static void close_handle(uv_handle_t *handle, void *user)
{
	uv_close(handle, NULL);
}

static int teardown(void **state)
{
	struct daemon *daemon = *state;

	uv_walk(&daemon->loop, close_handle, NULL);
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&daemon->loop), 0);
	kill_free(daemon);
	free(daemon);
	return 0;
}

static void establish(uint32_t id, uint32_t backend, uint16_t client_hop, uint16_t backend_hop)
{
	records[id] = (struct weir_flow4){
		.flow.control = { .state = WEIR_FLOW_ESTABLISHED,
				  .client_hop = client_hop,
				  .backend_hop = backend_hop },
		.flow.backend_id = backend,
		.flow.client_ports.source = htons(backend),
		.client = { .source = htonl(id) },
		.flow.client_mac = { 7, 7, 7, 7, 7, 7 },
	};
}

static void assert_frame(size_t at, uint8_t to, uint8_t from, int ifindex)
{
	for (int i = 0; i < 6; i++) {
		assert_int_equal(seen.frames[at][i], to);
		assert_int_equal(seen.frames[at][6 + i], from);
		assert_int_equal(seen.to[at].sll_addr[i], to);
	}
	assert_int_equal(seen.to[at].sll_ifindex, ifindex);
}

static void test_both_ends(void **state)
{
	struct daemon *daemon = *state;

	establish(5, 1, 1, 3);
	establish(30000, 2, 2, 3);
	kill_flows(daemon, &(struct weir_kill){ 0 });
	assert_int_equal(seen.call_count, 0); /* not before the loop runs */
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	assert_int_equal(seen.call_count, 3);
	assert_int_equal(seen.calls[1].first, 16384);
	assert_int_equal(seen.calls[2].count, RECORDS - 2 * 16384);
	assert_int_equal(seen.frame_count, 4);
	assert_frame(0, 0x10, 0x11, 3);
	assert_frame(1, 0x30, 0x31, 5);
	assert_frame(2, 7, 0x21, 4); /* the client's own address */
	assert_frame(3, 0x30, 0x31, 5);
	assert_memory_equal(seen.frames[3] + 12, "\x08\x00", 2);
}

/* The hop's interface is the one below a VLAN device, which puts on no tag. */
static void test_vlan(void **state)
{
	struct daemon *daemon = *state;

	hops[3].vlan = 0xabc;
	establish(5, 1, 1, 3);
	kill_flows(daemon, &(struct weir_kill){ 0 });
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	assert_int_equal(seen.frame_count, 2);
	assert_frame(1, 0x30, 0x31, 5);
	assert_memory_equal(seen.frames[1] + 12, "\x81\x00\x0a\xbc\x08\x00", 6);
	hops[3].vlan = 0;
}

/* Killed long ago, not killed, or without a known hop. */
static void test_nobody_else(void **state)
{
	struct daemon *daemon = *state;

	establish(1, 1, 1, 3);
	records[1].flow.control.state = WEIR_FLOW_KILLED;
	records[1].flow.last_seen = JIFFIES - 1;
	establish(2, 2, 1, 3);
	establish(3, 1, 4, 3);
	establish(4, 1, 900, 4);
	kill_flows(daemon, &(struct weir_kill){ .backend_id = 1 });
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	assert_int_equal(seen.frame_count, 1);
	assert_frame(0, 0x30, 0x31, 5);
}

/* A step ends after so many; filters wait for each other. */
static void test_in_steps(void **state)
{
	struct daemon *daemon = *state;

	for (uint32_t i = 0; i < 2 * WEIR_KILL_MOST; i++)
		establish(i, 1 + i % 2, 1, 3);
	kill_flows(daemon, &(struct weir_kill){ .backend_id = 2, .client_port = htons(2) });
	kill_flows(daemon, &(struct weir_kill){ .backend_id = 1, .client_port = htons(1) });
	uv_run(&daemon->loop, UV_RUN_ONCE);
	assert_true(seen.frame_count <= 2 * WEIR_KILL_MOST);
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	assert_int_equal(seen.frame_count, 4 * WEIR_KILL_MOST);
	assert_int_equal(seen.calls[0].backend_id, 2);
	assert_int_equal(seen.calls[1].first, 2 * WEIR_KILL_MOST); /* the last one of them */
	for (size_t i = 0; i + 1 < seen.call_count; i++)
		assert_true(seen.calls[i].backend_id >= seen.calls[i + 1].backend_id);
}

static void cut(struct daemon *daemon, uint32_t backend)
{
	kill_flows(daemon, &(struct weir_kill){ .backend_id = backend });
}

/* However many backends are cut: each record is looked at once. */
static void test_backends_are_cut_in_one_walk(void **state)
{
	struct daemon *daemon = *state;

	for (uint32_t backend = 1; backend <= 3; backend++)
		establish(10000 * backend, backend, 1, 3);
	cut(daemon, 1);
	cut(daemon, 3);
	cut(daemon, 3);
	assert_int_equal(backends[1].cut + backends[3].cut, 2);
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	assert_int_equal(seen.call_count, 3);
	assert_int_equal(seen.calls[2].marked, 1);
	assert_int_equal(seen.frame_count, 4);
	assert_int_equal(records[20000].flow.control.state, WEIR_FLOW_ESTABLISHED);
	assert_int_equal(backends[1].cut + backends[3].cut, 0); /* their new flows live */
}

/* The walk goes on where it is until it has been everywhere for this one, too. */
static void test_a_backend_that_is_cut_later(void **state)
{
	struct daemon *daemon = *state;

	establish(0, 2, 1, 3);
	establish(39999, 1, 1, 3);
	cut(daemon, 1);
	uv_run(&daemon->loop, UV_RUN_ONCE);
	cut(daemon, 2);
	while (backends[1].cut)
		uv_run(&daemon->loop, UV_RUN_ONCE);
	assert_int_equal(records[39999].flow.control.state, WEIR_FLOW_KILLED);
	assert_int_equal(records[0].flow.control.state, WEIR_FLOW_ESTABLISHED);
	establish(39999, 1, 1, 3); /* a new one */
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	assert_int_equal(records[0].flow.control.state, WEIR_FLOW_KILLED);
	assert_int_equal(records[39999].flow.control.state, WEIR_FLOW_ESTABLISHED);
	assert_int_equal(backends[2].cut, 0);
	assert_in_range(seen.call_count, 4, 5); /* by where it was when the second one came */
}

/* Those of a client or of another service are looked for one by one. */
static void test_what_is_no_cut(void **state)
{
	struct daemon *daemon = *state;

	backends[1].service = 5;
	kill_flows(daemon, &(struct weir_kill){ .backend_id = 1, .service_id = 4 });
	kill_flows(daemon, &(struct weir_kill){ .backend_id = 1, .client = { { 1 } } });
	assert_int_equal(backends[1].cut, 0);
	kill_flows(daemon, &(struct weir_kill){ .backend_id = 1, .service_id = 5 });
	assert_int_equal(backends[1].cut, 1);
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	assert_int_equal(seen.call_count, 9);
	assert_int_equal(seen.calls[0].marked, 1); /* first */
	assert_int_equal(seen.calls[3].service_id, 4);
}

static void test_failure_ends_it(void **state)
{
	struct daemon *daemon = *state;

	seen.error = -EPERM;
	kill_flows(daemon, &(struct weir_kill){ 0 });
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	assert_int_equal(seen.call_count, 1);
	cut(daemon, 1);
	cut(daemon, 2);
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	assert_int_equal(seen.call_count, 2);
	assert_int_equal(backends[1].cut + backends[2].cut, 0);
}

/* The id is another backend's now: its flows stay. */
static void test_a_backend_that_is_forgotten(void **state)
{
	struct daemon *daemon = *state;

	kill_forget_backend(daemon, 1);
	establish(1, 1, 1, 3);
	establish(2, 2, 1, 3);
	for (uint32_t backend = 1; backend <= 2; backend++) {
		kill_flows(daemon, &(struct weir_kill){ .backend_id = backend });
		kill_flows(daemon,
			   &(struct weir_kill){ .backend_id = backend, .client_port = htons(5) });
	}
	kill_forget_backend(daemon, 1);
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	assert_int_equal(records[1].flow.control.state, WEIR_FLOW_ESTABLISHED);
	assert_int_equal(records[2].flow.control.state, WEIR_FLOW_KILLED);
	/* The last one of all. */
	cut(daemon, 1);
	kill_forget_backend(daemon, 1);
	assert_int_equal(backends[1].cut, 0);
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	assert_int_equal(records[1].flow.control.state, WEIR_FLOW_ESTABLISHED);
}

static void test_end_in_between(void **state)
{
	struct daemon *daemon = *state;

	kill_flows(daemon, &(struct weir_kill){ 0 });
	kill_flows(daemon, &(struct weir_kill){ 0 });
	cut(daemon, 1);
	uv_run(&daemon->loop, UV_RUN_ONCE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_both_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vlan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_else, setup, teardown),
		cmocka_unit_test_setup_teardown(test_in_steps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_backends_are_cut_in_one_walk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_backend_that_is_cut_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_no_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure_ends_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_backend_that_is_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_in_between, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
