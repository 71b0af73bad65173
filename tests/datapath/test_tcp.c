// SPDX-License-Identifier: GPL-2.0-only
#include <stdbool.h>
#include <string.h>

#include "bpf/tcp.h"

#include "tests/packet/frame.h"
#include "tests/unit/unit.h"

/*
 * The state step as plain arithmetic. Scenarios run at many initial sequence numbers: nothing may
 * depend on where the circle of 32 bits is cut.
 */
static const uint32_t starts[] = { 0,          1,          1000,       0x7ffffff0, 0x7fffffff,
				   0x80000000, 0xffff0000, 0xfffffffe, 0xffffffff };

struct side {
	uint32_t next;
};

struct scene {
	struct weir_flow flow;
	union weir_flow_control control;
	struct side client, backend;
};

static void step_with(struct scene *scene, enum weir_direction from, uint8_t flags,
		      uint32_t sequence, uint32_t acknowledgement, uint32_t payload)
{
	struct packet packet = {
		.tuple.protocol = PROTOCOL_TCP,
		.tcp_flags = flags,
		.sequence = sequence,
		.sequence_end = sequence + payload + !!(flags & SYN) + !!(flags & FIN),
		.acknowledgement = acknowledgement,
	};

	scene->control = tcp_step(&scene->flow, scene->control, from, &packet);
}

static void client(struct scene *scene, uint8_t flags, uint32_t payload)
{
	step_with(scene, WEIR_FROM_CLIENT, flags, scene->client.next, scene->backend.next, payload);
	scene->client.next += payload + !!(flags & SYN) + !!(flags & FIN);
}

static void backend(struct scene *scene, uint8_t flags, uint32_t payload)
{
	step_with(scene, WEIR_FROM_BACKEND, flags, scene->backend.next, scene->client.next,
		  payload);
	scene->backend.next += payload + !!(flags & SYN) + !!(flags & FIN);
}

/* As the datapath leaves a record after the SYN. */
static struct scene after_syn(uint32_t client_start, uint32_t backend_start)
{
	struct scene scene = {
		.client.next = client_start + 1,
		.backend.next = backend_start,
		.control = { .generation = 7,
			     .state = WEIR_FLOW_HALF_OPEN,
			     .client_hop = 3,
			     .backend_hop = 4 },
	};

	scene.flow.backend_ack = scene.flow.client_next = client_start + 1;
	return scene;
}

static struct scene established(uint32_t client_start, uint32_t backend_start)
{
	struct scene scene = after_syn(client_start, backend_start);

	backend(&scene, SYN | ACK, 0);
	client(&scene, ACK, 0);
	assert_int_equal(scene.control.state, WEIR_FLOW_ESTABLISHED);
	return scene;
}

static void between(void **state)
{
	for (size_t i = 0; i < COUNT(starts); i++) {
		uint32_t a = starts[i];

		assert_true(tcp_between(a, a, a));
		assert_true(tcp_between(a, a, a + 5));
		assert_true(tcp_between(a, a + 5, a + 5));
		assert_true(tcp_between(a, a + 3, a + 5));
		assert_false(tcp_between(a, a - 1, a + 5));
		assert_false(tcp_between(a, a + 6, a + 5));
		assert_false(tcp_between(a, a + 1, a));
	}
}

static void at_each_start(void (*scenario)(uint32_t client_start, uint32_t backend_start))
{
	for (size_t i = 0; i < COUNT(starts); i++)
		for (size_t j = 0; j < COUNT(starts); j++)
			scenario(starts[i], starts[j]);
}

static void handshake_scenario(uint32_t client_start, uint32_t backend_start)
{
	struct scene scene = after_syn(client_start, backend_start);

	step_with(&scene, WEIR_FROM_CLIENT, ACK, scene.client.next, backend_start + 1, 0);
	assert_int_equal(scene.control.state, WEIR_FLOW_HALF_OPEN);
	backend(&scene, SYN | ACK, 0);
	assert_int_equal(scene.control.flags, WEIR_FLOW_REPLIED);
	for (uint32_t wrong = 1; wrong; wrong <<= 1)
		step_with(&scene, WEIR_FROM_CLIENT, ACK, scene.client.next,
			  scene.backend.next ^ wrong, 0);
	assert_int_equal(scene.control.state, WEIR_FLOW_HALF_OPEN);
	client(&scene, ACK, 10);
	assert_int_equal(scene.control.state, WEIR_FLOW_ESTABLISHED);
	assert_int_equal(scene.flow.client_next, scene.client.next);
	assert_int_equal(scene.flow.client_ack, scene.backend.next);
	assert_int_equal(scene.control.generation, 7);
	assert_int_equal(scene.control.client_hop, 3);
	assert_int_equal(scene.control.backend_hop, 4);
}

static void handshake(void **state)
{
	at_each_start(handshake_scenario);
}

static void close_scenario(uint32_t client_start, uint32_t backend_start)
{
	struct scene scene = established(client_start, backend_start);

	client(&scene, ACK, 1460);
	backend(&scene, ACK, 65535);
	client(&scene, ACK | FIN, 3);
	assert_int_equal(scene.control.flags, WEIR_FLOW_REPLIED | WEIR_FLOW_FIN_CLIENT);
	backend(&scene, ACK, 1460);
	assert_true(scene.control.flags & WEIR_FLOW_FIN_CLIENT_ACKED);
	assert_int_equal(scene.control.state, WEIR_FLOW_ESTABLISHED);
	backend(&scene, ACK | FIN, 0);
	assert_int_equal(scene.control.state, WEIR_FLOW_ESTABLISHED);
	client(&scene, ACK, 0);
	assert_int_equal(scene.control.state, WEIR_FLOW_CLOSING);
	assert_false(scene.control.flags & WEIR_FLOW_RESET);
}

static void close_by_fins(void **state)
{
	at_each_start(close_scenario);
}

/* Neither an early acknowledgement nor the FIN itself closes. */
static void crossing_scenario(uint32_t client_start, uint32_t backend_start)
{
	struct scene scene = established(client_start, backend_start);
	uint32_t before = scene.client.next;

	client(&scene, ACK | FIN, 0);
	step_with(&scene, WEIR_FROM_BACKEND, ACK | FIN, scene.backend.next, before, 0);
	scene.backend.next++;
	assert_int_equal(scene.control.state, WEIR_FLOW_ESTABLISHED);
	backend(&scene, ACK, 0);
	assert_int_equal(scene.control.state, WEIR_FLOW_ESTABLISHED);
	client(&scene, ACK, 0);
	assert_int_equal(scene.control.state, WEIR_FLOW_CLOSING);
}

static void simultaneous_close(void **state)
{
	at_each_start(crossing_scenario);
}

static void reset_scenario(uint32_t client_start, uint32_t backend_start)
{
	const struct scene open = established(client_start, backend_start);
	struct scene scene;

	for (uint32_t off = 1; off; off <<= 1) {
		scene = open;
		step_with(&scene, WEIR_FROM_CLIENT, RST, scene.client.next + off, 0, 0);
		step_with(&scene, WEIR_FROM_BACKEND, RST, scene.backend.next - off, 0, 0);
		assert_int_equal(scene.control.word, open.control.word);
	}
	scene = open;
	client(&scene, RST, 0);
	assert_int_equal(scene.control.state, WEIR_FLOW_CLOSING);
	assert_true(scene.control.flags & WEIR_FLOW_RESET);
	scene = open;
	backend(&scene, RST | ACK, 0);
	assert_int_equal(scene.control.state, WEIR_FLOW_CLOSING);

	/* With data in flight: both the end of what was sent, and what the other side waits for. */
	for (int own = 0; own < 2; own++) {
		scene = open;
		client(&scene, ACK, 1000);
		step_with(&scene, WEIR_FROM_CLIENT, RST, scene.client.next - (own ? 0 : 1000), 0,
			  0);
		assert_int_equal(scene.control.state, WEIR_FLOW_CLOSING);
	}
}

static void reset(void **state)
{
	at_each_start(reset_scenario);
}

/* How far ahead is believed: data up to 4 MiB, a FIN up to 64 KiB; nothing from behind. */
static void limits_scenario(uint32_t client_start, uint32_t backend_start)
{
	const struct scene open = established(client_start, backend_start);
	struct scene scene = open;
	uint32_t next = open.client.next;

	step_with(&scene, WEIR_FROM_CLIENT, ACK, next + TCP_DATA_AHEAD, open.backend.next, 1);
	assert_int_equal(scene.flow.client_next, next);
	step_with(&scene, WEIR_FROM_CLIENT, ACK, next - 500, open.backend.next, 400);
	assert_int_equal(scene.flow.client_next, next);
	step_with(&scene, WEIR_FROM_CLIENT, ACK, next - 500, open.backend.next, 501);
	assert_int_equal(scene.flow.client_next, next + 1);
	step_with(&scene, WEIR_FROM_CLIENT, ACK, next + TCP_DATA_AHEAD - 2, open.backend.next, 1);
	assert_int_equal(scene.flow.client_next, next + TCP_DATA_AHEAD - 1);

	scene = open;
	step_with(&scene, WEIR_FROM_CLIENT, ACK | FIN, next + TCP_FIN_AHEAD + 1, open.backend.next,
		  0);
	step_with(&scene, WEIR_FROM_CLIENT, ACK | FIN, next - 10, open.backend.next, 8);
	assert_int_equal(scene.control.word, open.control.word);
	assert_int_equal(scene.flow.client_next, next);
	step_with(&scene, WEIR_FROM_CLIENT, ACK | FIN, next + TCP_FIN_AHEAD, open.backend.next, 0);
	assert_true(scene.control.flags & WEIR_FLOW_FIN_CLIENT);
}

static void limits(void **state)
{
	at_each_start(limits_scenario);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* A segment near what the flow knows, so that it often means something. */
static struct packet random_segment(const struct weir_flow *flow, uint32_t *seed)
{
	static const uint8_t flags[] = { SYN, SYN | ACK, ACK, ACK | PSH, FIN, FIN | ACK,
					 RST, RST | ACK, 0,   SYN | FIN, ACK, ACK };
	const uint32_t near[] = { flow->client_next, flow->backend_next, flow->client_ack,
				  flow->backend_ack };
	uint32_t sequence = near[next_random(seed) % 4] + next_random(seed) % 3 - 1;
	uint8_t chosen = flags[next_random(seed) % sizeof(flags)];
	uint32_t payload = next_random(seed) % 2 ? 0 : next_random(seed) % 1460;

	return (struct packet){
		.tuple.protocol = PROTOCOL_TCP,
		.tcp_flags = chosen,
		.sequence = sequence,
		.sequence_end = sequence + payload + !!(chosen & SYN) + !!(chosen & FIN),
		.acknowledgement = near[next_random(seed) % 4] + next_random(seed) % 3 - 1,
	};
}

/*
 * Whatever comes: the state only goes forward, generation and hops stay, and the same step again,
 * as after a lost compare-and-swap, gives the same result.
 */
static void random_walks(void **state)
{
	uint32_t seed = 4711;
	int closed = 0;

	for (int walk = 0; walk < 20000; walk++) {
		struct scene scene = after_syn(next_random(&seed), next_random(&seed));

		for (int i = 0; i < 40; i++) {
			struct packet packet = random_segment(&scene.flow, &seed);
			enum weir_direction from = next_random(&seed) % 2;
			union weir_flow_control old = scene.control, once, twice;

			once = tcp_step(&scene.flow, old, from, &packet);
			twice = tcp_step(&scene.flow, old, from, &packet);
			assert_true(once.word == twice.word);
			assert_true(once.state >= old.state && once.state <= WEIR_FLOW_CLOSING);
			assert_int_equal(once.generation, 7);
			assert_int_equal(once.client_hop, 3);
			assert_int_equal(once.backend_hop, 4);
			assert_false(once.flags & WEIR_FLOW_UDP);
			scene.control = once;
		}
		closed += scene.control.state == WEIR_FLOW_CLOSING;
	}
	assert_in_range(closed, 1000, 20000); /* the walks lead somewhere */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(between),       cmocka_unit_test(handshake),
		cmocka_unit_test(close_by_fins), cmocka_unit_test(simultaneous_close),
		cmocka_unit_test(reset),         cmocka_unit_test(limits),
		cmocka_unit_test(random_walks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
