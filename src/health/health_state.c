// SPDX-License-Identifier: GPL-2.0-only
#include "src/health/health_state.h"

#include <stdio.h>

void health_state_init(struct health_report *report, enum health_state initial)
{
	*report = (struct health_report){ .state = initial };
}

bool health_state_take(struct health_report *report, uint32_t rise, uint32_t fall,
		       const struct health_result *result, uint64_t now)
{
	bool good = !result->error, first = report->in_a_row == 0;
	enum health_state target = good ? HEALTH_UP : HEALTH_DOWN;

	if (first || report->last_good != good)
		report->in_a_row = 1;
	else if (report->in_a_row < UINT32_MAX)
		report->in_a_row++;
	report->last_good = good;
	report->duration_ms = result->duration_ms;
	snprintf(report->error, sizeof(report->error), "%s", good ? "" : result->error);
	if (report->state == target ||
	    (report->state != HEALTH_UNKNOWN && report->in_a_row < (good ? rise : fall)))
		return first;
	report->state = target;
	report->since_ms = now;
	return true;
}
