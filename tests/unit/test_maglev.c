// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/maglev.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "abi/hash.h"
#include "tests/unit/allocation.h"
#include "tests/unit/unit.h"

enum { MOST = 512 };

static struct maglev_backend backends[MOST];

/* 10.0.0.1:8000 and so on, ids from 1 on, all usable, of weight 1. */
static void fill(size_t count)
{
	for (size_t i = 0; i < count; i++)
		backends[i] = (struct maglev_backend){
			.endpoint = { address_from_v4(htonl(0x0a000001 + (uint32_t)i)), 8000 },
			.id = (uint32_t)i + 1,
			.weight = 1,
			.usable = true,
		};
}

static size_t size_of(size_t count, const uint32_t *weights, size_t services)
{
	struct config_backend list[MOST] = { { .weight = 0 } };
	struct config_service service = { .backends = list, .backend_count = count };

	for (size_t i = 0; i < count; i++)
		list[i].weight = weights ? weights[i] : 1;
	return maglev_size(&service, services);
}

static struct weir_slot *build(size_t count, size_t size)
{
	struct weir_slot *slots = NULL;

	assert_int_equal(maglev_build(backends, count, size, &slots), size);
	assert_non_null(slots);
	return slots;
}

static void count_slots(const struct weir_slot *slots, size_t size, uint32_t share[MOST + 1])
{
	memset(share, 0, (MOST + 1) * sizeof(*share));
	for (size_t i = 0; i < size; i++) {
		assert_in_range(slots[i].backend, 1, MOST);
		share[slots[i].backend]++;
	}
}

static void test_sizes(void **state)
{
	static const uint32_t uneven[] = { 256, 255, 256, 255, 256, 255, 256, 255, 256, 255 };
	struct config_service service = { .backend_count = 0 };
	struct config_backend *many;

	assert_int_equal(size_of(10, NULL, 1), 65537);
	assert_int_equal(size_of(10, NULL, 16), 32749);
	assert_int_equal(size_of(10, NULL, 64), 16381);
	assert_int_equal(size_of(10, NULL, 10000), 1021);
	assert_int_equal(size_of(11, NULL, 10000), 2039);
	assert_int_equal(size_of(0, NULL, 10000), 1021);
	assert_int_equal(size_of(500, NULL, 1), 131071);
	assert_int_equal(size_of(500, NULL, 10000), 65537);
	/* Enough for each weight to be seen. */
	assert_int_equal(size_of(10, uneven, 10000), 4093);
	many = calloc(1000000, sizeof(*many)); /* bounded */
	assert_non_null(many);
	service.backends = many;
	service.backend_count = 1000000;
	assert_int_equal(maglev_size(&service, 1), 16777213);
	free(many);
}

/* Each place is visited by every backend only if it is. */
static void test_sizes_are_primes(void **state)
{
	for (size_t services = 1; services < 1 << 20; services *= 2)
		for (size_t count = 1; count <= MOST; count *= 2) {
			size_t size = size_of(count, NULL, services), divisor = 2;

			assert_true(size >= 100 * count);
			while (divisor * divisor <= size && size % divisor)
				divisor++;
			assert_true(divisor * divisor > size);
		}
}

static void assert_shares(const uint32_t *weights, size_t count, size_t services)
{
	size_t size = size_of(count, weights, services);
	uint32_t share[MOST + 1], sum = 0;
	struct weir_slot *slots;

	fill(count);
	for (size_t i = 0; i < count; i++) {
		backends[i].weight = weights[i];
		sum += weights[i];
	}
	slots = build(count, size);
	count_slots(slots, size, share);
	for (size_t i = 0; i < count; i++) {
		double ideal = (double)size * weights[i] / sum, off = share[i + 1] - ideal;

		if (off > 2 || off < -2)
			fail_msg("%u slots of %zu for weight %u of %u", share[i + 1], size,
				 weights[i], sum);
		/* Of its share where that is more than a few slots; of all traffic in any case. */
		assert_true((off < 0 ? -off : off) < (ideal > 200 ? ideal : (double)size) / 100);
		assert_int_equal(slots[0].weight, weights[slots[0].backend - 1]);
		assert_int_equal(slots[0].ramp, WEIR_RAMP_FULL);
	}
	free(slots);
}

static void test_shares(void **state)
{
	static const uint32_t double_weight[] = { 1, 2 }, three[] = { 10, 20, 70 },
			      steep[] = { 100, 1 }, steepest[] = { 1, 256, 256, 256, 256 },
			      one[] = { 7 };
	const size_t services[] = { 1, 10000 };

	for (size_t i = 0; i < COUNT(services); i++) {
		assert_shares(double_weight, 2, services[i]);
		assert_shares(three, 3, services[i]);
		assert_shares(steep, 2, services[i]);
		assert_shares(steepest, 5, services[i]);
		assert_shares(one, 1, services[i]);
	}
}

/* Slots of @before that are another backend's in @after, though the one of @id is all that left. */
static size_t moved(const struct weir_slot *before, const struct weir_slot *after, size_t size,
		    uint32_t id)
{
	size_t count = 0;

	for (size_t i = 0; i < size; i++) {
		assert_int_not_equal(after[i].backend, id);
		count += before[i].backend != id && before[i].backend != after[i].backend;
	}
	return count;
}

static void test_removal(void **state)
{
	static const size_t counts[] = { 10, 100, 500 };

	for (size_t i = 0; i < COUNT(counts); i++) {
		size_t count = counts[i], size = size_of(count, NULL, 1), most = 0;

		for (size_t gone = 0; gone < count; gone += count / 5) {
			struct weir_slot *before, *after;
			size_t moves;

			fill(count);
			before = build(count, size);
			backends[gone] = backends[count - 1]; /* in another order, too */
			assert_int_equal(size_of(count - 1, NULL, 1), size);
			after = build(count - 1, size);
			moves = moved(before, after, size, (uint32_t)gone + 1);
			most = moves > most ? moves : most;
			free(before);
			free(after);
		}
		print_message("# %zu backends, %zu slots: %.2f %% moved for nothing\n", count, size,
			      100.0 * (double)most / (double)size);
		assert_true(most * 100 < size);
	}
}

/* Only its own slots move; they spread by weights. */
static void test_down(void **state)
{
	const size_t count = 10, size = 65537;
	uint32_t share[MOST + 1];
	struct weir_slot *before, *after, *two_down;

	fill(count);
	backends[7].weight = 3;
	before = build(count, size);
	backends[3].usable = false;
	after = build(count, size);
	assert_int_equal(moved(before, after, size, 4), 0);
	count_slots(after, size, share);
	for (size_t i = 0; i < count; i++) {
		double ideal = (double)size * backends[i].weight / 11;

		if (i != 3)
			assert_true(share[i + 1] > ideal * 0.97 && share[i + 1] < ideal * 1.03);
	}
	/* One more: whom the first one's slots have gone to keeps them. */
	backends[8].usable = false;
	two_down = build(count, size);
	assert_int_equal(
		moved(after, two_down, size, 9) /* NOLINT(readability-suspicious-call-argument) */,
		0);
	backends[3].usable = backends[8].usable = true;
	free(two_down);
	two_down = build(count, size);
	assert_memory_equal(before, two_down, size * sizeof(*two_down));
	free(before);
	free(after);
	free(two_down);
}

/* Even if hardly anybody is left, and that one is light. */
static void test_nearly_all_down(void **state)
{
	uint32_t share[MOST + 1];
	struct weir_slot *slots;

	fill(500);
	for (size_t i = 0; i < 500; i++) {
		backends[i].usable = i == 42 || i == 77;
		backends[i].weight = i == 42 ? 1 : 256;
	}
	slots = build(500, 131071);
	count_slots(slots, 131071, share);
	assert_int_equal(share[43] + share[78], 131071);
	assert_true(share[43] < share[78]);
	free(slots);
	backends[42].usable = backends[77].usable = false;
	slots = (struct weir_slot *)&slots;
	assert_int_equal(maglev_build(backends, 500, 131071, &slots), 0);
	assert_null(slots);
	slots = (struct weir_slot *)&slots;
	assert_int_equal(maglev_build(backends, 0, 131071, &slots), 0);
	assert_null(slots);
}

/* Two nodes whose files name the backends in different orders, and number them differently. */
static void test_any_order(void **state)
{
	const size_t count = 30, size = 4093;
	struct weir_slot *one, *other;

	fill(count);
	for (size_t i = 0; i < count; i++)
		backends[i].weight = 1 + (uint32_t)i % 7;
	backends[5].usable = false;
	one = build(count, size);
	for (size_t i = 0; i < count; i++) {
		struct maglev_backend swapped = backends[i];
		size_t with = (i * 17 + 5) % count;

		backends[i] = backends[with];
		backends[with] = swapped;
	}
	for (size_t i = 0; i < count; i++)
		backends[i].id += 400;
	other = build(count, size);
	for (size_t i = 0; i < size; i++)
		assert_int_equal(one[i].backend + 400, other[i].backend);
	free(one);
	free(other);
}

/* Frozen: nodes of a row may run different versions of weir. */
static void test_golden(void **state)
{
	static const uint8_t first[] = { 1, 1, 1, 3, 1, 4, 1, 1, 3, 2, 2, 2,
					 1, 2, 2, 2, 2, 1, 3, 3, 4, 1, 1, 1 };
	uint64_t hash = 0;
	struct weir_slot *slots;

	fill(5);
	backends[0].weight = 3;
	backends[1].endpoint.port = 443;
	backends[2].endpoint.address.word[0] = htonl(0x20010db8);
	backends[4].usable = false;
	slots = build(5, 1021);
	for (size_t i = 0; i < COUNT(first); i++)
		assert_int_equal(slots[i].backend, first[i]);
	for (size_t i = 0; i < 1021; i++)
		hash = weir_hash_mix(hash) ^ slots[i].backend;
	assert_true(hash == 0x38cdb45e0f92e1caULL);
	free(slots);
}

static void test_fingerprint(void **state)
{
	uint64_t before, changed[6];

	fill(4);
	before = maglev_fingerprint(backends, 4, 1021);
	assert_true(before);
	assert_true(maglev_fingerprint(backends, 4, 1021) == before);
	changed[0] = maglev_fingerprint(backends, 4, 2039);
	changed[1] = maglev_fingerprint(backends, 3, 1021);
	backends[1].usable = false;
	changed[2] = maglev_fingerprint(backends, 4, 1021);
	backends[1].usable = true;
	backends[1].weight = 2;
	changed[3] = maglev_fingerprint(backends, 4, 1021);
	backends[1].weight = 1;
	backends[1].id = 9;
	changed[4] = maglev_fingerprint(backends, 4, 1021);
	backends[1].id = 2;
	backends[1].endpoint.port++;
	changed[5] = maglev_fingerprint(backends, 4, 1021);
	for (size_t i = 0; i < COUNT(changed); i++)
		assert_true(changed[i] != before);
}

static void test_services(void **state)
{
	struct config config;

	config_init(&config);
	for (int i = 0; i < 8; i++)
		config_add_service(&config)->scheduler = (enum weir_scheduler)i;
	assert_int_equal(maglev_services(&config), 3);
	config_free(&config);
}

static void test_no_memory(void **state)
{
	fill(3);
	for (unsigned int nth = 1; nth <= 4; nth++) {
		struct weir_slot *slots = (struct weir_slot *)&slots, *before = slots;

		allocation_fail_at(nth);
		assert_true(maglev_build(backends, 3, 1021, &slots) < 0);
		assert_true(allocation_has_failed());
		assert_ptr_equal(slots, before);
	}
	allocation_fail_at(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),       cmocka_unit_test(test_sizes_are_primes),
		cmocka_unit_test(test_shares),      cmocka_unit_test(test_removal),
		cmocka_unit_test(test_down),        cmocka_unit_test(test_nearly_all_down),
		cmocka_unit_test(test_any_order),   cmocka_unit_test(test_golden),
		cmocka_unit_test(test_fingerprint), cmocka_unit_test(test_services),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
