// SPDX-License-Identifier: GPL-2.0-only
#include "abi/hash.h"

#include <arpa/inet.h>
#include <math.h>
#include <string.h>

#include "tests/unit/unit.h"

#define SLOTS 64

static struct weir_address mapped(uint32_t v4)
{
	return (struct weir_address){ { 0, 0, htonl(0xffff), v4 } };
}

static struct weir_tuple tuple_of(const char *client, uint16_t port)
{
	return (struct weir_tuple){
		.source = mapped(inet_addr(client)),
		.destination = mapped(inet_addr("192.168.178.10")),
		.source_port = htons(port),
		.destination_port = htons(8000),
		.protocol = 6,
	};
}

/* Chi-square that a truly even spread exceeds about 3 times in 100,000 (Wilson and Hilferty). */
static double chi_square_limit(unsigned int freedom)
{
	const double ninth = 2.0 / (9.0 * freedom);

	return freedom * pow(1 - ninth + 4.0 * sqrt(ninth), 3);
}

static void assert_even(const unsigned int *counts, unsigned int slots, const char *what)
{
	double expected = 0, sum = 0;

	for (unsigned int i = 0; i < slots; i++)
		expected += counts[i];
	expected /= slots;
	for (unsigned int i = 0; i < slots; i++)
		sum += (counts[i] - expected) * (counts[i] - expected) / expected;
	if (sum > chi_square_limit(slots - 1))
		fail_msg("%s over %u slots: chi-square %f", what, slots, sum);
}

/* connect() hands out ports of one parity, one after the other. */
static void test_sequential_ports_spread_evenly(void **state)
{
	static const struct {
		const char *client;
		uint16_t first, step;
	} rows[] = {
		{ "10.0.0.20", 32768, 2 },     { "10.0.0.20", 32769, 2 },
		{ "10.0.0.20", 1024, 1 },      { "192.168.178.2", 32768, 2 },
		{ "192.168.178.2", 32768, 4 }, { "255.255.255.254", 1, 8 },
	};

	for (size_t row = 0; row < COUNT(rows); row++) {
		for (unsigned int slots = 2; slots <= SLOTS; slots++) {
			unsigned int counts[SLOTS] = { 0 };

			for (uint32_t port = rows[row].first; port < 61000;
			     port += rows[row].step) {
				struct weir_tuple tuple = tuple_of(rows[row].client, port);

				counts[weir_hash_scale(weir_hash_tuple(&tuple), slots)]++;
			}
			assert_even(counts, slots, rows[row].client);
		}
	}
}

static void test_sequential_clients_spread_evenly(void **state)
{
	for (unsigned int slots = 2; slots <= SLOTS; slots++) {
		unsigned int counts[SLOTS] = { 0 };

		for (uint32_t client = 0; client < 16384; client++) {
			struct weir_tuple tuple = tuple_of("0.0.0.0", 40000);

			tuple.source = mapped(htonl(0x0a000000 + client));
			counts[weir_hash_scale(weir_hash_tuple(&tuple), slots)]++;
		}
		assert_even(counts, slots, "clients");
	}
}

/* What a user sees: few connections must not lean to one of two backends. */
static void test_300_connections_over_two(void **state)
{
	for (uint32_t first = 32768; first + 600 < 61000; first += 600) {
		unsigned int counts[2] = { 0 };

		for (uint32_t port = first; port < first + 600; port += 2) {
			struct weir_tuple tuple = tuple_of("10.0.0.20", port);

			counts[weir_hash_scale(weir_hash_tuple(&tuple), 2)]++;
		}
		assert_in_range(counts[0], 105, 195); /* 35-65 % */
	}
}

/* Flipping any bit of the key flips each bit of the hash about every other time. */
static void assert_avalanche(uint32_t (*hash)(const void *), size_t from, size_t to)
{
	enum { KEYS = 512 };
	uint8_t key[sizeof(struct weir_tuple)];
	uint64_t random = 1;

	for (size_t bit = from * 8; bit < to * 8; bit++) {
		unsigned int flips[32] = { 0 };

		for (unsigned int i = 0; i < KEYS; i++) {
			uint32_t difference;

			memset(key, 0, sizeof(key));
			for (size_t byte = from; byte < to; byte++) {
				random = random * 6364136223846793005ULL + 1442695040888963407ULL;
				key[byte] = random >> 56;
			}
			difference = hash(key);
			key[bit / 8] ^= 1 << bit % 8;
			difference ^= hash(key);
			for (unsigned int out = 0; out < 32; out++)
				flips[out] += difference >> out & 1;
		}
		for (unsigned int out = 0; out < 32; out++)
			if (flips[out] < KEYS * 3 / 8 || flips[out] > KEYS * 5 / 8)
				fail_msg("bit %zu -> bit %u: %u of %u", bit, out, flips[out], KEYS);
	}
}

/* What there is of a tuple in IPv4, one behind the other. */
struct tuple4 {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 zero[3];
};

static uint32_t hash_tuple(const void *key)
{
	struct tuple4 short_tuple;
	struct weir_tuple tuple;

	memcpy(&short_tuple, key, sizeof(short_tuple));
	tuple = (struct weir_tuple){
		.source = mapped(short_tuple.source),
		.destination = mapped(short_tuple.destination),
		.source_port = short_tuple.source_port,
		.destination_port = short_tuple.destination_port,
		.protocol = short_tuple.protocol,
	};
	return weir_hash_tuple(&tuple);
}

static uint32_t hash_tuple6(const void *key)
{
	struct weir_tuple tuple;

	memcpy(&tuple, key, sizeof(tuple));
	tuple.family = WEIR_IPV6;
	return weir_hash_tuple(&tuple);
}

static uint32_t hash_listener(const void *key)
{
	struct weir_listener_key listener;

	memcpy(&listener, key, sizeof(listener));
	return weir_listener_hash(&listener);
}

static void test_every_bit_counts(void **state)
{
	assert_avalanche(hash_tuple, 0, offsetof(struct tuple4, zero));
	assert_avalanche(hash_tuple6, 0, offsetof(struct weir_tuple, family));
	assert_avalanche(hash_listener, 0, offsetof(struct weir_listener_key, used));
}

/* A change of these values sends the clients of a running row of nodes elsewhere. */
static void test_known_values(void **state)
{
	struct weir_tuple tuple = tuple_of("10.0.0.20", 40000);
	struct weir_listener_key listener = { .port = htons(80), .protocol = 6, .used = 1 };

	listener.address.word[2] = htonl(0xffff);
	listener.address.word[3] = inet_addr("192.168.178.10");
	assert_true(weir_hash_mix(0) == 0);
	assert_true(weir_hash_mix(1) == 0xb456bcfc34c2cb2cULL); /* published with MurmurHash3 */
	assert_int_equal(weir_hash_tuple(&tuple), 0xb3f82989);
	assert_int_equal(weir_listener_hash(&listener), 0x0ea16696);
}

static void test_scale(void **state)
{
	for (uint32_t length = 1; length <= 4096; length++) {
		assert_int_equal(weir_hash_scale(0, length), 0);
		assert_int_equal(weir_hash_scale(UINT32_MAX, length), length - 1);
	}
	assert_int_equal(weir_hash_scale(UINT32_MAX / 2, 2), 0);
	assert_int_equal(weir_hash_scale(UINT32_MAX / 2 + 1, 2), 1);
	assert_int_equal(weir_hash_scale(UINT32_MAX, UINT32_MAX), UINT32_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequential_ports_spread_evenly),
		cmocka_unit_test(test_sequential_clients_spread_evenly),
		cmocka_unit_test(test_300_connections_over_two),
		cmocka_unit_test(test_every_bit_counts),
		cmocka_unit_test(test_known_values),
		cmocka_unit_test(test_scale),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
