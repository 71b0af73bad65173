// SPDX-License-Identifier: GPL-2.0-only
#include "tests/race/storm.h"

/* What two CPUs do to the same flows at the same time. */

/* Half-open flows are pushed out of the ring while they are answered and promoted. */
static void promotion_against_eviction(void **state)
{
	static const struct storm_plan plan = {
		.flows = 65536,
		.half_open = 64,
		.first_port = 10000,
		.last_port = 39999,
		.seconds = 4,
		.timeout_ms = 100,
		.weights = { [ACT_SYN] = 30,
			     [ACT_SYN_ACK] = 25,
			     [ACT_ACK] = 25,
			     [ACT_DATA] = 5,
			     [ACT_ANSWER] = 5,
			     [ACT_RESET] = 5,
			     [ACT_OPEN] = 5 },
	};

	storm_run(&plan);
}

/* More clients than source ports: whoever gets one owns it alone. */
static void few_ports(void **state)
{
	static const struct storm_plan plan = {
		.flows = 1024,
		.half_open = 12,
		.first_port = 2000,
		.last_port = 2011,
		.seconds = 4,
		.timeout_ms = 8,
		.time_wait_ms = 12,
		.weights = { [ACT_SYN] = 70,
			     [ACT_SYN_ACK] = 10,
			     [ACT_ANSWER] = 10,
			     [ACT_RESET] = 1,
			     [ACT_REFUSE] = 1,
			     [ACT_OPEN] = 1,
			     [ACT_BACKEND_CLOSE] = 5 },
	};

	storm_run(&plan);
}

/* Most ports rest after the backend closed first: both CPUs, and the sweep, want them back. */
static void ports_taken_over(void **state)
{
	static const struct storm_plan plan = {
		.flows = 4096,
		.half_open = 8,
		.first_port = 2000,
		.last_port = 2031,
		.seconds = 4,
		.timeout_ms = 8,
		.time_wait_ms = 24,
		.weights = { [ACT_SYN] = 40, [ACT_OPEN] = 20, [ACT_BACKEND_CLOSE] = 40 },
	};

	storm_run(&plan);
}

/* The same through queues of free ports. */
static void few_ports_with_queues(void **state)
{
	static const struct storm_plan plan = {
		.flows = 1024,
		.half_open = 300,
		.first_port = 2000,
		.last_port = 2199,
		.seconds = 3,
		.timeout_ms = 8,
		.time_wait_ms = 12,
		.queues = true,
		.weights = { [ACT_SYN] = 70,
			     [ACT_SYN_ACK] = 10,
			     [ACT_ANSWER] = 10,
			     [ACT_RESET] = 1,
			     [ACT_OPEN] = 1,
			     [ACT_BACKEND_CLOSE] = 5 },
	};

	storm_run(&plan);
}

/* Few records: a packet's record may belong to another flow before the packet is through. */
static void records_come_again(void **state)
{
	static const struct storm_plan plan = {
		.flows = 1024,
		.half_open = 4,
		.ids = 6,
		.first_port = 10000,
		.last_port = 39999,
		.seconds = 4,
		.timeout_ms = 8,
		.weights = { [ACT_SYN] = 40, [ACT_SYN_ACK] = 30, [ACT_ANSWER] = 30 },
	};

	storm_run(&plan);
}

/* A handful of clients that open again while their last connection still closes. */
static void syn_on_closing(void **state)
{
	static const struct storm_plan plan = {
		.flows = 4096,
		.half_open = 64,
		.clients = 6,
		.first_port = 10000,
		.last_port = 39999,
		.seconds = 4,
		.timeout_ms = 40,
		.time_wait_ms = 40,
		.weights = { [ACT_SYN] = 20,
			     [ACT_OPEN] = 20,
			     [ACT_CLOSE] = 15,
			     [ACT_BACKEND_CLOSE] = 15,
			     [ACT_RESET] = 10,
			     [ACT_DATA] = 10,
			     [ACT_ANSWER] = 10 },
	};

	storm_run(&plan);
}

/* All of it, with timeouts so short that the sweep is always in between. */
static void everything(void **state)
{
	static const struct storm_plan plan = {
		.flows = 48,
		.half_open = 16,
		.ids = 64,
		.clients = 40,
		.first_port = 2000,
		.last_port = 2015,
		.seconds = 5,
		.timeout_ms = 8,
		.time_wait_ms = 12,
		.queues = true,
		.weights = { [ACT_SYN] = 10,
			     [ACT_SYN_ACK] = 10,
			     [ACT_ACK] = 10,
			     [ACT_DATA] = 10,
			     [ACT_ANSWER] = 10,
			     [ACT_RESET] = 5,
			     [ACT_REFUSE] = 5,
			     [ACT_OPEN] = 10,
			     [ACT_CLOSE] = 5,
			     [ACT_BACKEND_CLOSE] = 10,
			     [ACT_DATAGRAM] = 10,
			     [ACT_DATAGRAM_BACK] = 5 },
	};

	storm_run(&plan);
}

/* Flows of all states are killed while packets are on their way through them. */
static void killed_meanwhile(void **state)
{
	static const struct storm_plan plan = {
		.flows = 48,
		.half_open = 16,
		.ids = 128,
		.clients = 12,
		.first_port = 2000,
		.last_port = 2031,
		.seconds = 4,
		.timeout_ms = 40,
		.time_wait_ms = 12,
		.kills = true,
		.weights = { [ACT_SYN] = 10,
			     [ACT_SYN_ACK] = 10,
			     [ACT_ACK] = 10,
			     [ACT_DATA] = 15,
			     [ACT_ANSWER] = 15,
			     [ACT_RESET] = 3,
			     [ACT_OPEN] = 15,
			     [ACT_CLOSE] = 5,
			     [ACT_BACKEND_CLOSE] = 7,
			     [ACT_DATAGRAM] = 10,
			     [ACT_DATAGRAM_BACK] = 10 },
	};

	storm_run(&plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(promotion_against_eviction),
		cmocka_unit_test(few_ports),
		cmocka_unit_test(ports_taken_over),
		cmocka_unit_test(few_ports_with_queues),
		cmocka_unit_test(records_come_again),
		cmocka_unit_test(syn_on_closing),
		cmocka_unit_test(everything),
		cmocka_unit_test(killed_meanwhile),
	};

	return packet_tests(tests);
}
