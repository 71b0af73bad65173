// SPDX-License-Identifier: GPL-2.0-only

/*
 * A resolver and the host's facts behind a pipe: reads one command a line, answers "done CODE", and
 * prints each callback as one line, so that the test can play the kernel's other user.
 */
#include "src/base/address.h"
#include "src/netlink/check_link.h"
#include "src/netlink/host.h"
#include "src/netlink/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void print_mac(const char *name, const uint8_t mac[static 6])
{
	printf(" %s=%02x:%02x:%02x:%02x:%02x:%02x", name, mac[0], mac[1], mac[2], mac[3], mac[4],
	       mac[5]);
}

static void on_hop(const struct resolver_hop *hop, void *user)
{
	char target[ENDPOINT_STRING_SIZE], source[ENDPOINT_STRING_SIZE];
	char name[IF_NAMESIZE] = "-", device[IF_NAMESIZE] = "-";

	if_indextoname(hop->ifindex, name);
	if_indextoname(hop->device, device);
	printf("hop target=%s gateway=%d reachable=%d local=%d",
	       address_format(&hop->target, target), hop->gateway, hop->reachable, hop->local);
	print_mac("mac", hop->mac);
	print_mac("source_mac", hop->source_mac);
	printf(" interface=%s device=%s vlan=%u mtu=%u source=%s why=%s\n", name, device, hop->vlan,
	       hop->mtu, address_format(&hop->source, source), hop->why);
}

static void on_gateway_gone(const struct weir_address *address, uint32_t ifindex, void *user)
{
	char text[ENDPOINT_STRING_SIZE];

	printf("gateway_gone target=%s ifindex=%u\n", address_format(address, text), ifindex);
}

static void on_link(const char *name, uint32_t ifindex, bool up, void *user)
{
	printf("link name=%s present=%d up=%d\n", name, ifindex != 0, up);
}

static void on_forwarding(uint32_t ifindex, uint8_t family, bool on, void *user)
{
	char name[IF_NAMESIZE] = "-";

	if_indextoname(ifindex, name);
	printf("forwarding interface=%s family=%d on=%d\n", name, family == AF_INET ? 4 : 6, on);
}

static void on_address(const struct weir_address *address, bool present, void *user)
{
	char text[ENDPOINT_STRING_SIZE];

	printf("address target=%s present=%d\n", address_format(address, text), present);
}

static int on_target(struct resolver *resolver, const char *verb, const char *text)
{
	struct weir_address address;

	if (address_parse(text, &address) < 0)
		return -EINVAL;
	if (!strcmp(verb, "add"))
		return resolver_add(resolver, &address);
	if (!strcmp(verb, "remove"))
		return resolver_remove(resolver, &address);
	if (strcmp(verb, "probe") != 0)
		return -EINVAL;
	resolver_probe(resolver, &address);
	return 0;
}

/* Ten thousand targets from the first one on. */
static int add_many(struct resolver *resolver, const char *first)
{
	struct weir_address address;
	int error = address_parse(first, &address);

	for (int i = 0; i < 10000 && error == 0; i++) {
		error = resolver_add(resolver, &address);
		address.word[3] = htonl(ntohl(address.word[3]) + 1);
	}
	return error;
}

/* Milliseconds that one dispatch takes once something has made the socket readable. */
static int time_dispatch(struct resolver *resolver)
{
	struct pollfd descriptor = { .fd = resolver_fd(resolver), .events = POLLIN };
	struct timespec start, end;
	int error;

	if (poll(&descriptor, 1, 5000) != 1)
		return -ETIMEDOUT;
	usleep(50000);
	clock_gettime(CLOCK_MONOTONIC, &start);
	error = resolver_dispatch(resolver);
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (error < 0)
		return error;
	return (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000;
}

static int print_ports(void)
{
	static uint64_t bits[1024];
	struct error error = { "" };
	int result = host_used_ports(bits, &error);

	printf("ports");
	for (unsigned int port = 0; port < 65536; port++)
		if (bits[port / 64] >> port % 64 & 1)
			printf(" %u", port);
	printf(" %s\n", error.text);
	return result;
}

static int print_driver(const char *interface)
{
	char name[32] = "untouched";
	int result = host_driver(interface, name);

	printf("driver %s\n", name);
	return result;
}

/* "forwarding6 eth0" reads, "forwarding6 eth0 1" writes; the name is printed in both cases. */
static int on_switch(const char *name)
{
	const char *interface = strtok(NULL, " \n"), *value = strtok(NULL, " \n");
	static const char *const names[HOST_SWITCHES] = { "forwarding4", "forwarding6",
							  "accept_ra" };
	char text[HOST_SWITCH_STRING_SIZE];
	int which = 0;

	while (which < HOST_SWITCHES && strcmp(names[which], name) != 0)
		which++;
	if (which == HOST_SWITCHES || !interface)
		return -EDOM;
	printf("switch %s\n", host_switch_format(which, interface, text));
	return value ? host_set_switch(which, interface, (int)strtol(value, NULL, 10)) :
		       host_switch(which, interface);
}

static int make_check_link(const char *name)
{
	const struct weir_address v4 = address_from_v4(0), v6 = {};
	char text[ENDPOINT_STRING_SIZE], text6[ENDPOINT_STRING_SIZE], interface[IF_NAMESIZE];
	struct weir_address address, address6;
	struct check_link link;
	struct error error = { "" };
	int result = check_link_make(name, &link, &error);

	if (result < 0) {
		printf("failed %s\n", error.text);
		return result;
	}
	address = check_link_address(&link, 2, &v4);
	address6 = check_link_address(&link, 3, &v6);
	printf("check_link interface=%s v4=%s v6=%s has_v6=%d\n",
	       if_indextoname(link.ifindex, interface), address_format(&address, text),
	       address_format(&address6, text6), link.has_v6);
	return 0;
}

static int command(struct resolver *resolver, char *line)
{
	char *verb = strtok(line, " \n"), *first = strtok(NULL, " \n");

	if (!verb)
		return -EINVAL;
	if (!strcmp(verb, "ports"))
		return print_ports();
	if (!strcmp(verb, "time"))
		return time_dispatch(resolver);
	if (!first)
		return -EINVAL;
	if (!strcmp(verb, "watch"))
		return resolver_watch(resolver, if_nametoindex(first));
	if (!strcmp(verb, "leftovers"))
		return resolver_remove_leftovers(resolver);
	if (!strcmp(verb, "many"))
		return add_many(resolver, first);
	if (!strcmp(verb, "make_check_link"))
		return make_check_link(first);
	if (!strcmp(verb, "remove_check_link"))
		return check_link_remove(first);
	if (!strcmp(verb, "driver"))
		return print_driver(first);
	if (!strcmp(verb, "switch"))
		return on_switch(first);
	if (!strcmp(verb, "sleep"))
		return usleep(strtoul(first, NULL, 10) * 1000);
	return on_target(resolver, verb, first);
}

/* Whole lines only: poll() does not know what stdio has buffered. */
static int serve(struct resolver *resolver)
{
	struct pollfd descriptors[] = { { .fd = STDIN_FILENO, .events = POLLIN },
					{ .fd = resolver_fd(resolver), .events = POLLIN } };

	for (;;) {
		char line[128] = "";
		ssize_t length;

		if (poll(descriptors, 2, -1) < 0)
			return EXIT_FAILURE;
		if (descriptors[1].revents) {
			int error = resolver_dispatch(resolver);

			printf("dispatched %d\n", error);
			if (error < 0)
				return EXIT_FAILURE;
		}
		if (!descriptors[0].revents)
			continue;
		length = read(STDIN_FILENO, line, sizeof(line) - 1);
		if (length <= 0)
			return EXIT_SUCCESS;
		printf("done %d\n", command(resolver, line));
	}
}

int main(void)
{
	static const struct resolver_events events = { .hop = on_hop,
						       .gateway_gone = on_gateway_gone,
						       .link = on_link,
						       .forwarding = on_forwarding,
						       .address = on_address };
	struct resolver *resolver = NULL;
	struct error error = { "" };
	int result;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (resolver_new(&events, NULL, &resolver, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		return EXIT_FAILURE;
	}
	printf("ready\n");
	result = serve(resolver);
	resolver_free(resolver);
	return result;
}
