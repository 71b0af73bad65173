/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <linux/types.h>

/*
 * What is at both ends of a balancer's cable: clients of 198.18.0.0/15 (RFC 2544) and their backends, a
 * million connections of them, in one XDP program.
 */
#define WIRE_CLIENTS 0xc6120000u
#define WIRE_CLIENT_BITS 17
#define WIRE_FIRST_PORT 1024
#define WIRE_FRAME 60 /* bytes, 64 with the checksum that a real wire adds */
#define WIRE_FLOWS_MOST 4000000

/* What the clients send. */
enum wire_kind { WIRE_OPEN, WIRE_TALK };

struct wire_plan {
	__u8 balancer_mac[6];
	__u8 client_mac[6];
	__u32 kind;            /* enum wire_kind */
	__u32 flows;           /* client i has one connection, */
	__u32 services;        /* to service i modulo that many, */
	__u32 service_address; /* whose address is this plus its number; host byte order */
	__u16 service_port;
	__u16 zero;
	__u32 backend_network; /* where backends are; host byte order */
	__u32 backend_mask;
};

/* Frames, but `opened`: connections whose SYN-ACK came. */
struct wire_counts {
	__u64 turn; /* whose it is */
	__u64 sent;
	__u64 at_backends;
	__u64 at_clients;
	__u64 opened;
};
