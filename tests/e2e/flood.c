// SPDX-License-Identifier: GPL-2.0-only
/*
 * Traffic for the end-to-end tests that Python is too slow for: floods from forged addresses in
 * 198.18.0.0/15 (RFC 2544), bounded in number and rate, and a UDP server that can answer them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define NOWHERE 0xc6120000u
#define CLIENTS 131072u /* addresses in 198.18.0.0/15 */
#define BATCH 64
/* A forged ACK follows its SYN so many batches later: the SYN-ACK has passed by then. */
#define GUESS_LAG 16
#define ROUNDS 10 /* how often a lost SYN is sent again */
#define QUESTION "abcd"

struct frame {
	struct ether_header ethernet;
	struct iphdr ip;
	union {
		struct tcphdr tcp;
		struct {
			struct udphdr header;
			char question[sizeof(QUESTION) - 1];
		} udp;
	};
} __attribute__((packed));

struct flood {
	struct ether_addr from, to;
	in_addr_t address; /* of the service */
	in_port_t port;
	uint32_t rate; /* frames a second */
	int fd;
	struct timespec next;
	struct frame frames[BATCH];
	uint32_t waiting; /* frames not sent yet */
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint32_t mix(uint32_t h)
{
	h = (h ^ h >> 16) * 0x85ebca6bu;
	h = (h ^ h >> 13) * 0xc2b2ae35u;
	return h ^ h >> 16;
}

/* The tuple of client @i: no two are the same, ports as of many machines. */
static in_addr_t client_address(uint32_t i)
{
	return htonl(NOWHERE + i % CLIENTS);
}

static in_port_t client_port(uint32_t i)
{
	return htons(1024 + (mix(i % CLIENTS) + i / CLIENTS * 7919) % 64000);
}

static uint32_t client_sequence(uint32_t i)
{
	return mix(i ^ 0x5eed);
}

static uint32_t sum(uint32_t total, const void *data, size_t length)
{
	const uint8_t *byte = data;

	for (size_t i = 0; i + 1 < length; i += 2)
		total += byte[i] << 8 | byte[i + 1];
	return total;
}

static uint16_t fold(uint32_t total)
{
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return htons(~total & 0xffff);
}

/* Ethernet and IP around a filled L4 header of @length bytes; returns the L4 checksum. */
static uint16_t wrap(const struct flood *flood, struct frame *frame, uint32_t i, uint8_t protocol,
		     size_t length)
{
	memcpy(frame->ethernet.ether_shost, &flood->from, ETH_ALEN);
	memcpy(frame->ethernet.ether_dhost, &flood->to, ETH_ALEN);
	frame->ethernet.ether_type = htons(ETHERTYPE_IP);
	frame->ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tot_len = htons(sizeof(frame->ip) + length),
		.id = htons(i & 0xffff),
		.ttl = 63,
		.protocol = protocol,
		.saddr = client_address(i),
		.daddr = flood->address,
	};
	frame->ip.check = fold(sum(0, &frame->ip, sizeof(frame->ip)));
	return fold(sum(sum(protocol + length, &frame->ip.saddr, 8), &frame->tcp, length));
}

static size_t frame_length(const struct frame *frame)
{
	return sizeof(frame->ethernet) + ntohs(frame->ip.tot_len);
}

static void pace(struct flood *flood)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	flood->next.tv_nsec += flood->waiting * (1000000000ull / flood->rate);
	flood->next.tv_sec += flood->next.tv_nsec / 1000000000;
	flood->next.tv_nsec %= 1000000000;
	/* What was missed is not caught up with: the rate is a limit. */
	if (now.tv_sec > flood->next.tv_sec ||
	    (now.tv_sec == flood->next.tv_sec && now.tv_nsec > flood->next.tv_nsec))
		flood->next = now;
	else
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &flood->next, NULL);
}

static void flush(struct flood *flood)
{
	struct mmsghdr messages[BATCH] = {};
	struct iovec parts[BATCH];
	uint32_t done = 0;

	for (uint32_t i = 0; i < flood->waiting; i++) {
		parts[i].iov_base = &flood->frames[i];
		parts[i].iov_len = frame_length(&flood->frames[i]);
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	while (done < flood->waiting) {
		int sent = sendmmsg(flood->fd, messages + done, flood->waiting - done, 0);

		if (sent > 0)
			done += sent;
		else if (errno == ENOBUFS || errno == EAGAIN)
			usleep(200);
		else
			die("sendmmsg");
	}
	pace(flood);
	flood->waiting = 0;
}

static struct frame *next_frame(struct flood *flood)
{
	if (flood->waiting == BATCH)
		flush(flood);
	return &flood->frames[flood->waiting++];
}

static void put_segment(struct flood *flood, uint32_t i, uint32_t sequence,
			uint32_t acknowledgement, int syn, int ack)
{
	struct frame *frame = next_frame(flood);

	frame->tcp = (struct tcphdr){
		.source = client_port(i),
		.dest = flood->port,
		.seq = htonl(sequence),
		.ack_seq = htonl(acknowledgement),
		.doff = 5,
		.syn = syn,
		.ack = ack,
		.window = htons(65535),
	};
	frame->tcp.check = wrap(flood, frame, i, IPPROTO_TCP, sizeof(frame->tcp));
}

static void put_syn(struct flood *flood, uint32_t i)
{
	put_segment(flood, i, client_sequence(i), 0, 1, 0);
}

static void put_guess(struct flood *flood, uint32_t i)
{
	put_segment(flood, i, client_sequence(i) + 1, mix(i ^ 0x9e55), 0, 1);
}

static void put_datagram(struct flood *flood, uint32_t i)
{
	struct frame *frame = next_frame(flood);

	frame->udp.header = (struct udphdr){
		.source = client_port(i),
		.dest = flood->port,
		.len = htons(sizeof(frame->udp)),
	};
	memcpy(frame->udp.question, QUESTION, sizeof(frame->udp.question));
	frame->udp.header.check = wrap(flood, frame, i, IPPROTO_UDP, sizeof(frame->udp));
}

static void flood_once(struct flood *flood, const char *mode, uint32_t count)
{
	const uint32_t lag = GUESS_LAG * BATCH;

	for (uint32_t i = 0; i < count; i++) {
		if (!strcmp(mode, "udp"))
			put_datagram(flood, i);
		else
			put_syn(flood, i);
		if (!strcmp(mode, "guess") && i >= lag)
			put_guess(flood, i - lag);
	}
	for (uint32_t i = count > lag ? count - lag : 0; !strcmp(mode, "guess") && i < count; i++)
		put_guess(flood, i);
	flush(flood);
	printf("sent %u\n", count);
}

/* Acknowledges the SYN-ACKs that have come; returns how many of them were the first of a client. */
static uint32_t take_answers(struct flood *flood, uint8_t *open, uint32_t count)
{
	struct frame frame;
	uint32_t opened = 0;

	while (recv(flood->fd, &frame, sizeof(frame), MSG_DONTWAIT) >=
	       (ssize_t)(sizeof(frame) - 4)) {
		uint32_t i = ntohl(frame.ip.daddr) - NOWHERE;

		if (frame.ip.protocol != IPPROTO_TCP || frame.ip.saddr != flood->address ||
		    i >= count || frame.tcp.dest != client_port(i) || !frame.tcp.syn ||
		    ntohl(frame.tcp.ack_seq) != client_sequence(i) + 1)
			continue;
		opened += !open[i];
		open[i] = 1;
		put_segment(flood, i, client_sequence(i) + 1, ntohl(frame.tcp.seq) + 1, 0, 1);
	}
	return opened;
}

/* Real handshakes of @count clients, at most CLIENTS. */
static void connect_all(struct flood *flood, uint32_t count)
{
	static uint8_t open[CLIENTS];
	uint32_t opened = 0;

	if (count > CLIENTS)
		count = CLIENTS;
	for (int round = 0; round < ROUNDS && opened < count; round++) {
		for (uint32_t i = 0; i < count; i++) {
			if (open[i])
				continue;
			put_syn(flood, i);
			if (i % BATCH == 0)
				opened += take_answers(flood, open, count);
		}
		/* SYN-ACKs under way, and repeated ones whose ACK was lost. */
		for (int wait = 0; wait < 30; wait++) {
			flush(flood);
			usleep(10000);
			opened += take_answers(flood, open, count);
		}
		flush(flood);
	}
	printf("connected %u\n", opened);
}

static void open_wire(struct flood *flood, const char *interface, int listen)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = listen ? htons(ETH_P_IP) : 0,
		.sll_ifindex = if_nametoindex(interface),
	};
	struct ifreq request = {};
	int on = 1, room = 64 << 20;

	flood->fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (flood->fd < 0)
		die("socket");
	if (setsockopt(flood->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0 ||
	    setsockopt(flood->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0 ||
	    bind(flood->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die(interface);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	if (ioctl(flood->fd, SIOCGIFHWADDR, &request) < 0)
		die(interface);
	memcpy(&flood->from, request.ifr_hwaddr.sa_data, ETH_ALEN);
	clock_gettime(CLOCK_MONOTONIC, &flood->next);
}

/* Echoes datagrams; one that begins with "?" is answered with where it came from. */
static void echo(const char *address, const char *port)
{
	static char data[BATCH][2048];
	struct sockaddr_in from[BATCH], own = { .sin_family = AF_INET };
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 16 << 20, got;

	own.sin_addr.s_addr = inet_addr(address);
	own.sin_port = htons(atoi(port));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0 ||
	    bind(fd, (struct sockaddr *)&own, sizeof(own)) < 0)
		die("bind");
	puts("ready");
	fflush(stdout);
	for (;;) {
		for (int i = 0; i < BATCH; i++) {
			parts[i] = (struct iovec){ data[i], sizeof(data[i]) };
			messages[i].msg_hdr = (struct msghdr){ .msg_name = &from[i],
							       .msg_namelen = sizeof(from[i]),
							       .msg_iov = &parts[i],
							       .msg_iovlen = 1 };
		}
		got = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < got; i++) {
			parts[i].iov_len = messages[i].msg_len;
			if (data[i][0] == '?')
				parts[i].iov_len = sprintf(data[i], "%s:%u %s:%s",
							   inet_ntoa(from[i].sin_addr),
							   ntohs(from[i].sin_port), address, port);
		}
		if (got > 0)
			sendmmsg(fd, messages, got, 0);
	}
}

int main(int argc, char *argv[])
{
	static struct flood flood;
	const char *mode = argc > 1 ? argv[1] : "";
	struct ether_addr *mac;

	if (argc == 4 && !strcmp(mode, "echo"))
		echo(argv[2], argv[3]);
	if (argc != 8 || (strcmp(mode, "syn") && strcmp(mode, "guess") && strcmp(mode, "udp") &&
			  strcmp(mode, "connect"))) {
		fprintf(stderr,
			"usage: flood syn|guess|udp|connect INTERFACE MAC ADDRESS PORT COUNT "
			"RATE\n       flood echo ADDRESS PORT\n");
		return 2;
	}
	mac = ether_aton(argv[3]);
	if (!mac)
		die(argv[3]);
	flood.to = *mac;
	flood.address = inet_addr(argv[4]);
	flood.port = htons(atoi(argv[5]));
	flood.rate = strtoul(argv[7], NULL, 10);
	open_wire(&flood, argv[2], !strcmp(mode, "connect"));
	if (!strcmp(mode, "connect"))
		connect_all(&flood, strtoul(argv[6], NULL, 10));
	else
		flood_once(&flood, mode, strtoul(argv[6], NULL, 10));
	return 0;
}
