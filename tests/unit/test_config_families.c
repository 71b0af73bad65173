// SPDX-License-Identifier: GPL-2.0-only
#include "tests/unit/config_broken.h"

/* Which families of addresses go together, and what goes with mode ipip alone. */

/* All addresses of one service, by mode: one family, but in ipip. */
static const struct {
	enum weir_mode mode;
	const char *listen[2], *backend[2], *text;
} rows[] = {
	{ WEIR_MODE_NAT, { "[2001:db8::10]:80" }, { "[2001:db8::11]:8000" }, NULL },
	{ WEIR_MODE_NAT,
	  { "[2001:db8::10]:80", "[2001:db8::10]:81" },
	  { "[2001:db8::11]:80", "[2001:db8::12]:80" },
	  NULL },
	{ WEIR_MODE_NAT,
	  { "[2001:db8::10]:80" },
	  { "[2001:db8::11]:80", "10.0.0.1:80" },
	  "backend 10.0.0.1:80 is IPv4, the service IPv6: nat does not translate between "
	  "IPv6 and IPv4; use ipip, or backends of the same family" },
	{ WEIR_MODE_NAT,
	  { "10.0.0.9:80" },
	  { "[2001:db8::11]:80" },
	  "backend [2001:db8::11]:80 is IPv6, the service IPv4: nat does not translate "
	  "between IPv6 and IPv4; use ipip, or backends of the same family" },
	{ WEIR_MODE_NAT,
	  { "10.0.0.9:80", "[2001:db8::10]:80" },
	  { "10.0.0.1:80" },
	  "listen: [2001:db8::10]:80 is IPv6 and 10.0.0.9:80 IPv4, which mode nat cannot "
	  "serve with the same backends; make two services of it, or use ipip" },
	{ WEIR_MODE_DSR, { "[2001:db8::10]:80" }, { "[2001:db8::11]:80" }, NULL },
	{ WEIR_MODE_DSR,
	  { "[2001:db8::10]:80" },
	  { "10.0.0.1:80" },
	  "backend 10.0.0.1:80 is IPv4, the service IPv6: dsr changes no address, so "
	  "backends get packets of the service's family; use ipip, or backends of the "
	  "same family" },
	{ WEIR_MODE_DSR,
	  { "[2001:db8::10]:80", "10.0.0.9:80" },
	  { NULL },
	  "listen: 10.0.0.9:80 is IPv4 and [2001:db8::10]:80 IPv6, which mode dsr cannot "
	  "serve with the same backends; make two services of it, or use ipip" },
	{ WEIR_MODE_IPIP,
	  { "[2001:db8::10]:80", "10.0.0.9:80" },
	  { "10.0.0.1:80", "[2001:db8::11]:80" },
	  NULL },
};

static void test_families(void **state)
{
	struct config *config = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct config_service *service = &config->services[0];
		char text[300];

		service->mode = rows[i].mode;
		service->listen_count = service->backend_count = 0;
		for (size_t j = 0; j < 2; j++) {
			if (rows[i].listen[j])
				add_listen(service, rows[i].listen[j], IPPROTO_TCP);
			if (rows[i].backend[j])
				add_backend(service, rows[i].backend[j]);
		}
		if (!rows[i].text) {
			assert_accepted(config);
			continue;
		}
		snprintf(text, sizeof(text), "service web: %s", rows[i].text);
		assert_refused(config, text);
	}
}

static void test_tunnel_keys(void **state)
{
	struct config *config = *state;
	struct config_service *web = &config->services[0];
	bool *const keys[] = { &web->outer_fixed, &web->clear_df };
	static const char *const names[] = { "outer_source", "clear_df" };

	for (size_t i = 0; i < COUNT(keys); i++) {
		*keys[i] = true;
		for (enum weir_mode mode = WEIR_MODE_NAT; mode <= WEIR_MODE_DSR; mode++) {
			char text[200];

			web->mode = mode;
			snprintf(text, sizeof(text),
				 "service web: %s: does not go with mode %s, which has no outer "
				 "header; remove it, or use mode ipip",
				 names[i], mode_name(mode));
			assert_refused(config, text);
		}
		web->mode = WEIR_MODE_IPIP;
		assert_accepted(config);
		*keys[i] = false;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_CONFIG(test_families),
		WITH_CONFIG(test_tunnel_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
