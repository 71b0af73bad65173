// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/audit.h"

bool audit_step(struct audit_memory *memory, const struct weir_load *load,
		const struct weir_audit *audit, struct audit_correction *ret)
{
	struct audit_memory now = {
		.total = load->total,
		.half_open = load->half_open,
		.established = load->established,
		.half_open_off = (int32_t)(audit->half_open - load->half_open),
		.established_off = (int32_t)(audit->established - load->established),
	};
	bool off = now.half_open_off || now.established_off;
	bool still = now.total == memory->total && now.half_open == memory->half_open &&
		     now.established == memory->established;
	bool same = now.half_open_off == memory->half_open_off &&
		    now.established_off == memory->established_off;

	*memory = now;
	if (!off || !still || !same)
		return false;
	ret->half_open = now.half_open_off;
	ret->established = now.established_off;
	memory->half_open = audit->half_open;
	memory->established = audit->established;
	memory->half_open_off = 0;
	memory->established_off = 0;
	return true;
}
