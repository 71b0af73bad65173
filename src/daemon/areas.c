// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/areas.h"
#include "src/model/slots.h"

static uint32_t greatest_common_divisor(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

uint32_t areas_capacity(const struct config_service *service)
{
	uint32_t count = service->backend_count;
	uint32_t divisor = 0;
	uint64_t sum = 0;

	if (service->scheduler != WEIR_SCHEDULER_WRR && service->scheduler != WEIR_SCHEDULER_HASH)
		return count;
	/* Fewer backends never need more: their sum is smaller, their divisor not. */
	for (size_t i = 0; i < service->backend_count; i++) {
		sum += service->backends[i].weight;
		divisor = greatest_common_divisor(divisor, service->backends[i].weight);
	}
	if (divisor)
		sum /= divisor;
	if (sum > slots_bound(count))
		sum = slots_bound(count);
	return sum > count ? sum : count;
}

bool areas_claim(struct areas *areas, uint32_t *ret)
{
	if (areas->busy) {
		areas->dirty = true;
		return false;
	}
	*ret = areas->first + (areas->live ? 0 : areas->capacity);
	return true;
}

void areas_published(struct areas *areas)
{
	areas->live = !areas->live;
	areas->busy = true;
}

bool areas_released(struct areas *areas)
{
	bool dirty = areas->dirty;

	areas->busy = false;
	areas->dirty = false;
	return dirty;
}
