// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "src/base/parse.h"

/* Takes "/tcp" or "/udp" off the end. */
static uint8_t take_protocol(char *text)
{
	char *slash = strchr(text, '/');
	uint8_t protocol = 0;

	if (slash && !strcmp(slash, "/tcp"))
		protocol = IPPROTO_TCP;
	else if (slash && !strcmp(slash, "/udp"))
		protocol = IPPROTO_UDP;
	if (protocol)
		*slash = '\0';
	return protocol;
}

int listen_parse(const char *text, struct config_listen *ret)
{
	struct config_listen listen = { .protocol = 0 };
	char copy[LISTEN_STRING_SIZE + 8], *colon;
	uint16_t first = 0, last = UINT16_MAX;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	listen.protocol = take_protocol(copy);
	colon = strrchr(copy, ':');
	if (!colon || (copy[0] != '[' && strchr(copy, ':') != colon))
		return -EINVAL;
	if (!strcmp(colon, ":any") || parse_port_range(colon + 1, &first, &last) == 0) {
		listen.last_port = last;
		*colon = '\0';
	}
	if (endpoint_parse(copy, &listen.endpoint) < 0 ||
	    (!listen.last_port && !listen.endpoint.port))
		return -EINVAL;
	if (listen.last_port)
		listen.endpoint.port = first;
	*ret = listen;
	return 0;
}

char *listen_format(const struct config_listen *listen, char buffer[static LISTEN_STRING_SIZE])
{
	endpoint_format(&listen->endpoint, buffer);
	if (listen_is_any(listen))
		strcat(buffer, ":any");
	else if (listen_is_wide(listen))
		sprintf(buffer + strlen(buffer), "-%u", listen->last_port);
	return buffer;
}

bool service_is_wide(const struct config_service *service)
{
	for (size_t i = 0; i < service->listen_count; i++)
		if (listen_is_wide(&service->listens[i]))
			return true;
	return false;
}

/* The excepted run that holds @port, or else the next one behind it; NULL: there is none. */
static const struct config_ports *next_except(const struct config_service *service, uint32_t port)
{
	const struct config_ports *nearest = NULL;

	for (size_t i = 0; i < service->except_count; i++) {
		const struct config_ports *except = &service->except[i];

		if (except->last >= port && (!nearest || except->first < nearest->first))
			nearest = except;
	}
	return nearest;
}

bool listen_next_ports(const struct config_service *service, const struct config_listen *listen,
		       uint32_t *next, struct config_ports *ret)
{
	const uint32_t first = listen->endpoint.port ? listen->endpoint.port : 1;
	const uint32_t last = listen_is_wide(listen) ? listen->last_port : first;
	uint32_t port = *next > first ? *next : first, end = last;
	const struct config_ports *except = NULL;

	if (listen_is_wide(listen))
		except = next_except(service, port);
	while (except && except->first <= port) {
		port = except->last + 1U;
		except = next_except(service, port);
	}
	if (port > last)
		return false;
	if (except && except->first <= last)
		end = except->first - 1U;
	*ret = (struct config_ports){ (uint16_t)port, (uint16_t)end };
	*next = end + 1;
	return true;
}

uint32_t service_port_count(const struct config_service *service)
{
	uint32_t most = 0;

	for (size_t i = 0; i < service->listen_count; i++) {
		struct config_ports ports;
		uint32_t next = 0, count = 0;

		while (listen_next_ports(service, &service->listens[i], &next, &ports))
			count += ports.last - ports.first + 1U;
		most = count > most ? count : most;
	}
	return most;
}
