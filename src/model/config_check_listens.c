// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/config_checker.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/model/listen.h"

/* A run of ports that one of the listen addresses stands for. */
struct span {
	struct weir_address address;
	struct config_ports ports;
	uint8_t protocol;
	uint32_t service;
	uint32_t index;
};

static int compare_owners(const struct span *a, const struct span *b)
{
	const int r = memcmp(&a->address, &b->address, sizeof(a->address));

	return r ? r : (int)a->protocol - b->protocol;
}

/* Equal ones in the order in which they were given. */
static int compare_spans(const void *left, const void *right)
{
	const struct span *a = left, *b = right;
	int r = compare_owners(a, b);

	if (r)
		return r;
	if (a->ports.first != b->ports.first)
		return (int)a->ports.first - b->ports.first;
	if (a->service != b->service)
		return a->service < b->service ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

static const struct config_listen *listen_of(const struct config *config, const struct span *span)
{
	return &config->services[span->service].listens[span->index];
}

static const char *what_is_wrong(const struct config_service *service,
				 const struct config_listen *listen)
{
	const char *why = config_check_address(&listen->endpoint.address);
	struct config_ports ports;
	uint32_t next = 0;

	if (why)
		return why;
	if (!listen->endpoint.port && listen->last_port != UINT16_MAX)
		return "has no port; expected ADDR:PORT";
	if (listen_is_wide(listen) && listen->last_port < listen->endpoint.port)
		return "is no range; expected ADDR:LOW-HIGH";
	if (!protocol_name(listen->protocol))
		return "has an unknown protocol; expected tcp or udp";
	if (!listen_next_ports(service, listen, &next, &ports))
		return "has no port that except leaves to it";
	return NULL;
}

static void check_excepts(const struct config_service *service, size_t index,
			  struct checker *checker)
{
	const struct checker_path path = checker_path("services[%zu].except", index);

	if (service->except_count > CONFIG_EXCEPTS_MOST)
		checker_tell(checker, path.text,
			     SERVICE ": except: %zu ports and ranges; expected at most %d",
			     service->name, service->except_count, CONFIG_EXCEPTS_MOST);
	for (size_t i = 0; i < service->except_count; i++) {
		const struct config_ports *ports = &service->except[i];

		if (!ports->first || ports->first > ports->last)
			checker_tell(checker, path.text,
				     SERVICE ": except: %u-%u is no range; expected PORT or "
					     "LOW-HIGH, 1 to 65535",
				     service->name, ports->first, ports->last);
	}
}

void config_check_listens(const struct config_service *service, size_t index,
			  struct checker *checker)
{
	char text[LISTEN_STRING_SIZE];

	if (!service->listen_count)
		checker_tell(checker, checker_path("services[%zu].listen", index).text,
			     SERVICE ": it listens nowhere; give it an ADDR:PORT", service->name);
	check_excepts(service, index, checker);
	for (size_t i = 0; i < service->listen_count; i++) {
		const char *why = what_is_wrong(service, &service->listens[i]);

		if (why)
			checker_tell(checker,
				     checker_path("services[%zu].listen[%zu]", index, i).text,
				     SERVICE ": listen: %s %s", service->name,
				     listen_format(&service->listens[i], text), why);
	}
}

static bool host_has(const struct config *config, const struct weir_address *address)
{
	for (size_t i = 0; i < config->host_address_count; i++)
		if (address_equal(&config->host_addresses[i], address))
			return true;
	return false;
}

void config_check_host(const struct config *config, struct checker *checker)
{
	char text[LISTEN_STRING_SIZE];

	for (size_t i = 0; config->host_address_count && i < config->service_count; i++) {
		const struct config_service *service = &config->services[i];

		for (size_t j = 0; !service->except_count && j < service->listen_count; j++) {
			const struct config_listen *listen = &service->listens[j];

			if (!listen_is_any(listen) || !host_has(config, &listen->endpoint.address))
				continue;
			checker_tell(checker, checker_path("services[%zu].listen[%zu]", i, j).text,
				     SERVICE ": listen: %s is an address of this host, which would "
					     "lose its own connections; expected the ports that it "
					     "needs in except, as in except: [22]",
				     service->name, listen_format(listen, text));
		}
	}
}

/* All runs of ports, sorted; *ret is the caller's. Returns how many, or -ENOMEM. */
static long make_spans(const struct config *config, size_t most, struct span **ret)
{
	struct span *spans = calloc(most + 1, sizeof(*spans));
	struct config_ports ports;
	size_t count = 0;

	if (!spans)
		return -ENOMEM;
	for (size_t i = 0; i < config->service_count; i++) {
		const struct config_service *service = &config->services[i];

		for (size_t j = 0; j < service->listen_count; j++) {
			const struct config_listen *listen = &service->listens[j];
			uint32_t next = 0;

			while (count < most && listen_next_ports(service, listen, &next, &ports))
				spans[count++] = (struct span){ listen->endpoint.address, ports,
								listen->protocol, (uint32_t)i,
								(uint32_t)j };
		}
	}
	qsort(spans, count, sizeof(*spans), compare_spans);
	*ret = spans;
	return (long)count;
}

static void tell_double(const struct config *config, const struct span *first,
			const struct span *again, struct checker *checker)
{
	const struct config_listen *one = listen_of(config, first),
				   *other = listen_of(config, again);
	const char *name = config->services[again->service].name, *protocol;
	char text[LISTEN_STRING_SIZE], over[LISTEN_STRING_SIZE];
	const struct checker_path path = checker_path("services[%u].listen[%u]", again->service,
						      again->index);
	const bool same = one->endpoint.port == other->endpoint.port &&
			  one->last_port == other->last_port;

	protocol = protocol_name(again->protocol);
	listen_format(other, text);
	listen_format(one, over);
	if (first->service == again->service && same)
		checker_tell(checker, path.text, SERVICE ": listens on %s/%s twice; remove one",
			     name, text, protocol);
	else if (first->service == again->service)
		checker_tell(checker, path.text,
			     SERVICE ": listens on %s/%s and on %s, which has ports of it; remove "
				     "one",
			     name, text, protocol, over);
	else if (same)
		checker_tell(checker, path.text,
			     "services %.63s and %.63s: both listen on %s/%s; remove one",
			     config->services[first->service].name, name, text, protocol);
	else
		checker_tell(checker, path.text,
			     "services %.63s and %.63s: %s/%s has ports of %s; except must name "
			     "those that a range or any leaves to another service",
			     config->services[first->service].name, name, text, protocol, over);
}

static bool is_before(const struct span *a, const struct span *b)
{
	return a->service != b->service ? a->service < b->service : a->index < b->index;
}

/* I2. Told at the one that comes later in the file, once. */
static void check_doubles(const struct config *config, const struct span *spans, size_t count,
			  struct checker *checker)
{
	const struct span *reach = spans, *told = NULL;

	for (size_t i = 1; i < count; i++) {
		const struct span *span = &spans[i], *earlier = reach;
		const bool apart = compare_owners(reach, span) ||
				   reach->ports.last < span->ports.first;

		if (apart || span->ports.last > reach->ports.last)
			reach = span;
		if (apart || !protocol_name(span->protocol))
			continue;
		if (is_before(span, earlier)) {
			const struct span *other = span;

			span = earlier;
			earlier = other;
		}
		if (told && told->service == span->service && told->index == span->index)
			continue;
		told = span;
		tell_double(config, earlier, span, checker);
	}
}

/* Does anybody listen on one of these ports? Of runs that do not overlap, the last one decides. */
static bool meets(const struct span *spans, size_t count, const struct weir_address *address,
		  uint8_t protocol, struct config_ports ports)
{
	const struct span key = { .address = *address, .protocol = protocol };
	size_t low = 0, high = count;

	while (low < high) {
		const size_t middle = (low + high) / 2;
		const int r = compare_owners(&spans[middle], &key);

		if (r > 0 || (r == 0 && spans[middle].ports.first > ports.last))
			high = middle;
		else
			low = middle + 1;
	}
	return low && !compare_owners(&spans[low - 1], &key) &&
	       spans[low - 1].ports.last >= ports.first;
}

static bool backend_loops(const struct config_service *service, const struct endpoint *endpoint,
			  const struct span *spans, size_t count)
{
	for (size_t i = 0; i < service->listen_count; i++) {
		const struct config_listen *listen = &service->listens[i];
		struct config_ports ports = { endpoint->port, endpoint->port };
		uint32_t next = 0;

		if (endpoint->port) {
			if (meets(spans, count, &endpoint->address, listen->protocol, ports))
				return true;
			continue;
		}
		while (listen_next_ports(service, listen, &next, &ports))
			if (meets(spans, count, &endpoint->address, listen->protocol, ports))
				return true;
	}
	return false;
}

/* I4 for one service. */
static void check_loops(const struct config_service *service, size_t index,
			const struct span *spans, size_t count, struct checker *checker)
{
	char text[ENDPOINT_STRING_SIZE];

	for (size_t i = 0; i < service->backend_count; i++) {
		const struct endpoint *endpoint = &service->backends[i].endpoint;

		if (!backend_loops(service, endpoint, spans, count))
			continue;
		checker_tell(checker,
			     checker_path("services[%zu].backends[%zu].address", index, i).text,
			     SERVICE ": backend %s is listened on by weir itself, packets would go "
				     "round for ever; name the server's own address",
			     service->name, endpoint_format_any(endpoint, text));
	}
}

int config_check_overlaps(const struct config *config, struct checker *checker)
{
	_cleanup_free_ struct span *spans = NULL;
	size_t most = 0;
	long count;

	for (size_t i = 0; i < config->service_count; i++) {
		const struct config_service *service = &config->services[i];

		for (size_t j = 0; j < service->listen_count; j++)
			most += listen_is_wide(&service->listens[j]) ? service->except_count + 1 :
								       1;
	}
	if (most > CONFIG_LISTENS_MOST) {
		checker_tell(checker, "services",
			     "services: %zu listen addresses in all, those with ports in except "
			     "counted once more for each; expected at most 1000000",
			     most);
		return 0;
	}
	count = make_spans(config, most, &spans);
	if (count < 0)
		return (int)count;
	check_doubles(config, spans, (size_t)count, checker);
	for (size_t i = 0; i < config->service_count; i++)
		check_loops(&config->services[i], i, spans, (size_t)count, checker);
	return 0;
}
