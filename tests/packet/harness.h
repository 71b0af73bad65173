/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/bpf.h>

#include "abi/config.h"
#include "abi/state.h"

#include "src/datapath/datapath.h"
#include "src/model/slots.h"

#include "tests/packet/frame.h"

/*
 * The real BPF object, run frame by frame with BPF_PROG_TEST_RUN in a network namespace of the test
 * program's own. Each test gets an object like freshly loaded (pool.h); when it ends, world_verify()
 * compares all counts, index entries and free ids with the records.
 */

/* The network of the tests: mac_of(address) is each host's MAC address. */
#define WEIR IP4(192, 168, 178, 10) /* service address and source address towards backends */
#define GATEWAY IP4(192, 168, 178, 2)
#define BACKEND_1 IP4(192, 168, 178, 11)
#define BACKEND_2 IP4(192, 168, 178, 12)
#define CLIENT IP4(10, 0, 0, 20)         /* behind the gateway */
#define NEIGHBOUR IP4(192, 168, 178, 50) /* a client on weir's own link */
#define FAR_CLIENT IP4(10, 2, 0, 20)     /* behind FAR_GATEWAY, on the second interface */
#define FAR_GATEWAY IP4(10, 1, 0, 2)

/* Service ids; ports on the service address in the comments. */
enum {
	WEB = 1,    /* tcp 8000: backends 1 (port 8000) and 2 (port 8080), rr */
	DNS,        /* udp 53: backends 3 (port 53) and 4 (port 5353), rr */
	EMPTY_TCP,  /* tcp 8001, no backend */
	SILENT_TCP, /* tcp 8002, no backend, silent */
	EMPTY_UDP,  /* udp 8001, no backend */
	SILENT_UDP, /* udp 8002, no backend, silent */
	SERVICES_USED,
};

/* Next hop ids; those of backends follow. */
enum { HOP_GATEWAY = 1, HOP_ON_LINK, HOP_FAR_GATEWAY, HOPS_USED };

struct world {
	struct datapath *datapath;
	const struct datapath_tables *tables;
	/* The records of the family that the test is about (tables has them read only). */
	void *flows;
	uint32_t records;
	uint32_t first_record; /* id of the first one */
	uint64_t sent;
	uint64_t unsent; /* flows that were made by a frame that could not be sent on */
	struct weir_counters counters; /* as of the last frame */
	uint32_t ingress;
	uint32_t linear;   /* bytes of a frame in its first piece, 0: as many as fit */
	uint32_t backends; /* next free ids, places */
	uint32_t hops;
	uint32_t slots;
	uint32_t port_ranges;
	size_t listener_count;
	uint32_t echo; /* an address that this host does not have, 0: none */
	struct weir_listener listeners[32];
};

/* What became of a frame. */
struct outcome {
	enum weir_reason reason;
	uint32_t verdict; /* enum xdp_action */
	struct frame frame;
};

/*
 * Moves this process into a network namespace of its own with weir's two interfaces. False: not
 * root; the test program has been declared skipped.
 */
bool network_enter(void);

#define packet_tests(tests)                                                                        \
	(cmocka_set_message_output(CM_OUTPUT_TAP),                                                 \
	 network_enter() ? cmocka_run_group_tests(tests, NULL, NULL) : 0)

/* A test with a world of its own, of default size. */
#define world_test(function) cmocka_unit_test_setup_teardown(function, world_setup, world_teardown)
/* The same, of one family alone: what the other does not have, or has otherwise. */
#define world_test_v4(function) world_test_of(WEIR_IPV4, function)
#define world_test_v6(function) world_test_of(WEIR_IPV6, function)
#define world_test_of(family, function)                                                            \
	(frame_family() == (family) ? (struct CMUnitTest)world_test(function) :                    \
				      (struct CMUnitTest)cmocka_unit_test(world_skip))
void world_skip(void **state);
int world_setup(void **state);
int world_teardown(void **state);

struct world *world_open(uint32_t flows, uint32_t half_open);
void world_close(struct world *world); /* verifies first */
struct datapath_sizes world_sizes(uint32_t flows, uint32_t half_open);
/* The same configuration in an object that was opened already; it is the world's from now on. */
struct world *world_of(struct datapath *datapath);
/* Goes on with another object (NULL: with none), whose tables must be the same; closes the old one. */
void world_use(struct world *world, struct datapath *datapath);

/* Configuration. */
uint32_t world_service(struct world *world, uint32_t id, uint32_t address, uint16_t port,
		       uint8_t protocol, uint8_t flags);
/* Beside single ports, these of @address and @protocol are services'. At most once for both. */
void world_ranges(struct world *world, uint32_t address, uint8_t protocol,
		  const struct weir_port_range *ranges, size_t count);
/* @service serves the clients of the network @address with @bits or not, by access list @list. */
void world_access(struct world *world, uint32_t service, uint32_t list, uint32_t address,
		  uint32_t bits, enum weir_access verdict);
/* From now on the host does not have @address (0: it has all). */
void world_echo(struct world *world, uint32_t address);
uint32_t world_backend(struct world *world, uint32_t service, uint32_t address, uint16_t port);
void world_slots(struct world *world, uint32_t service, enum weir_scheduler scheduler,
		 const struct slot_candidate *candidates, size_t count);
void world_snat_ports(struct world *world, uint16_t first, uint16_t last);
void world_snat_addresses(struct world *world, const uint32_t *addresses, size_t count);
/* The next hop towards @address (0: a client on the link of) @interface; @hop 0: unknown. */
void world_gateway(struct world *world, uint32_t address, const char *interface, uint16_t hop);
void world_ingress(struct world *world, const char *interface);
void hop_set(struct world *world, uint32_t hop, const char *interface, uint32_t address,
	     uint16_t flags);
/* What the datapath knows @address by, in the family that the test is about. */
struct weir_address mapped(uint32_t address);
struct weir_service *service_of(struct world *world, uint32_t id);

/* Runs one frame. Exactly one reason must have been counted for it. */
struct outcome world_run(struct world *world, const struct frame *frame);

/* Runs @in, which must come to @reason and @verdict and leave as @out (NULL: unchanged). */
#define world_send(world, in, reason, verdict, out)                                                \
	world_send_(world, in, reason, verdict, out, __FILE__, __LINE__)
void world_send_(struct world *world, const struct frame *in, enum weir_reason reason,
		 uint32_t verdict, const struct frame *out, const char *file, int line);

/* As many frames through one entry as counters need not be looked at after each. */
uint32_t world_run_quickly(struct world *world, const struct frame *frame);
uint32_t world_run_frame(struct world *world, const struct frame *in, struct frame *out);
/* Does the kernel run the program on a frame whose end is not in its first piece, however short it is? */
bool world_splits(struct world *world);
void world_read_counters(struct world *world);

/* The maps that user space of weir does not touch, by name. The descriptor is the caller's. */
int world_map(const struct world *world, const char *name);
/* The datapath's hash of @tuple, from which it makes outer sources and flow labels. */
uint32_t world_hash(const struct world *world, const struct weir_tuple *tuple);

/* The live record of the client's tuple, found by looking at all of them. NULL: none. */
const struct weir_flow *flow_of(const struct world *world, const struct segment *from_client);
/* Its place among the records, and what the datapath knows it by. */
uint32_t flow_place(const struct world *world, const struct weir_flow *flow);
uint32_t flow_id(const struct world *world, const struct weir_flow *flow);
struct weir_flow *world_flow(const struct world *world, uint32_t place);
/* Addresses as the tests write them. */
uint32_t flow_backend(const struct world *world, const struct weir_flow *flow);
uint32_t flow_snat(const struct world *world, const struct weir_flow *flow);

/* Makes @flow look as if its last packet (UDP: its first too) had come that much earlier. */
void flow_age(const struct world *world, const struct weir_flow *flow, uint32_t jiffies);
uint32_t jiffies_of_ms(const struct world *world, uint32_t ms);

/* Compares counts, index and ids with the records. */
void world_verify(struct world *world);
/* Empties the queue of free ids: they must be exactly the free records. Only at the end. */
void world_verify_ids(struct world *world);

/* Flows in these states, by the records and by the counters alike. */
#define assert_flows(world, half_open, established, closing)                                       \
	assert_flows_(world, half_open, established, closing, __FILE__, __LINE__)
void assert_flows_(struct world *world, int half_open, int established, int closing,
		   const char *file, int line);
