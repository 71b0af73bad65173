// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/config_checker.h"

#include <netinet/in.h>

#define EXPECTED_ONE_HOST "; expected that of one host"

static const char *unusable_v4(uint32_t v4)
{
	if (v4 >> 24 == 0)
		return "is unspecified (0.0.0.0/8); expected the address of one host";
	if (v4 == INADDR_BROADCAST)
		return "is the broadcast address" EXPECTED_ONE_HOST;
	if (IN_MULTICAST(v4))
		return "is a multicast address" EXPECTED_ONE_HOST;
	if (v4 >> 24 == IN_LOOPBACKNET)
		return "is a loopback address, which never reaches a network; use another";
	return NULL;
}

const char *config_check_address(const struct weir_address *address)
{
	if (address_is_zero(address))
		return "is the unspecified address" EXPECTED_ONE_HOST;
	if (address_is_v4(address))
		return unusable_v4(ntohl(address_to_v4(address)));
	if (address_equal(address, &(struct weir_address){ { 0, 0, 0, htonl(1) } }))
		return "is a loopback address, which never reaches a network; use another";
	if ((address->word[0] & htonl(0xff000000)) == htonl(0xff000000))
		return "is a multicast address" EXPECTED_ONE_HOST;
	if (address_is_link_local(address))
		return "is a link-local address, which means another host on each link; expected a "
		       "global one, or one of fd00::/8";
	return NULL;
}

static const char *why_not_mixed(enum weir_mode mode)
{
	return mode == WEIR_MODE_NAT ?
		       "nat does not translate between IPv6 and IPv4; use ipip, or backends of the "
		       "same family" :
		       "dsr changes no address, so backends get packets of the service's family; "
		       "use ipip, or backends of the same family";
}

/* The first listen address that is one at all, or NULL. */
static const struct endpoint *first_listen(const struct config_service *service)
{
	for (size_t i = 0; i < service->listen_count; i++)
		if (!config_check_address(&service->listens[i].endpoint.address))
			return &service->listens[i].endpoint;
	return NULL;
}

static bool fits(const struct endpoint *endpoint, const struct endpoint *first)
{
	return address_is_v4(&endpoint->address) == address_is_v4(&first->address) ||
	       config_check_address(&endpoint->address);
}

/* True: all are of one family. */
static bool check_listens(const struct config_service *service, size_t index,
			  const struct endpoint *first, struct checker *checker)
{
	char text[ENDPOINT_STRING_SIZE], first_text[ENDPOINT_STRING_SIZE];

	for (size_t i = 0; i < service->listen_count; i++) {
		const struct endpoint *endpoint = &service->listens[i].endpoint;

		if (fits(endpoint, first))
			continue;
		checker_tell(checker, checker_path("services[%zu].listen[%zu]", index, i).text,
			     SERVICE ": listen: %s is %s and %s %s, which mode %s cannot serve "
				     "with the same backends; make two services of it, or use ipip",
			     service->name, endpoint_format(endpoint, text),
			     address_family_name(&endpoint->address),
			     endpoint_format(first, first_text),
			     address_family_name(&first->address), mode_name(service->mode));
		return false;
	}
	return true;
}

static void check_backends(const struct config_service *service, size_t index,
			   const struct endpoint *first, struct checker *checker)
{
	char text[ENDPOINT_STRING_SIZE];

	for (size_t i = 0; i < service->backend_count; i++) {
		const struct endpoint *endpoint = &service->backends[i].endpoint;

		if (!fits(endpoint, first))
			checker_tell(
				checker,
				checker_path("services[%zu].backends[%zu].address", index, i).text,
				SERVICE ": backend %s is %s, the service %s: %s", service->name,
				endpoint_format(endpoint, text),
				address_family_name(&endpoint->address),
				address_family_name(&first->address), why_not_mixed(service->mode));
	}
}

static void check_tunnel_keys(const struct config_service *service, size_t index,
			      struct checker *checker)
{
	const struct {
		const char *key;
		bool given;
	} rows[] = {
		{ "outer_source", service->outer_fixed },
		{ "clear_df", service->clear_df },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].given)
			checker_tell(checker,
				     checker_path("services[%zu].%s", index, rows[i].key).text,
				     SERVICE ": %s: does not go with mode %s, which has no outer "
					     "header; remove it, or use mode ipip",
				     service->name, rows[i].key, mode_name(service->mode));
}

void config_check_families(const struct config_service *service, size_t index,
			   struct checker *checker)
{
	const struct endpoint *first = first_listen(service);

	if (service->mode == WEIR_MODE_IPIP || !mode_name(service->mode))
		return;
	check_tunnel_keys(service, index, checker);
	if (first && check_listens(service, index, first, checker))
		check_backends(service, index, first, checker);
}
