/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * Why a packet got its verdict. This list is the only place where a reason is written down: the
 * enum, the verdict, the names in `weir status`, the metrics' help and the table of the manual are
 * made from it. X(NAME, name, help). The three lists are the three verdicts; their order is used by
 * weir_reason_verdict().
 */

/* Passed on to the host, not one byte changed. */
#define WEIR_REASONS_PASS(X)                                                                       \
	X(NOT_IP, not_ip, "neither IPv4 nor IPv6 (ARP and the like), or more than two tags")       \
	X(NOT_TCP_UDP, not_tcp_udp, "neither TCP nor UDP, nor ICMP that concerns weir")            \
	X(FRAGMENT, fragment, "fragment behind a first one that is not known")                     \
	X(NOT_UNICAST, not_unicast, "TCP or UDP in a frame to, or from, a group of hosts")         \
	X(NOT_OURS, not_ours, "TCP or UDP that belongs to no service and no flow")                 \
	X(NOT_OURS_MALFORMED, not_ours_malformed, "malformed, but not sent to a service address")

/* Dropped without a word. */
#define WEIR_REASONS_DROP(X)                                                                       \
	X(MALFORMED_IP, malformed_ip, "IP header or length broken, sent to a service address")     \
	X(MALFORMED_TCP, malformed_tcp, "TCP header broken or cut short, sent to a service")       \
	X(MALFORMED_UDP, malformed_udp, "UDP header broken or cut short, sent to a service")       \
	X(BAD_SOURCE, bad_source, "new flow from an address that no host can have")                \
	X(DENIED, denied, "new flow from a client that the service's allow and deny leave out")    \
	X(NO_NEXT_HOP, no_next_hop, "no MAC address is known for the next hop")                    \
	X(NO_EGRESS, no_egress, "has to leave by an interface that weir cannot send from")         \
	X(RACED, raced, "flow was made or removed by another CPU meanwhile; the sender repeats")   \
	X(NO_FLOW_SILENT, no_flow_silent, "as no_flow, but a RST or over the reply rate")          \
	X(NO_BACKEND_SILENT, no_backend_silent, "as no_backend, but told or forced to be silent")  \
	X(FLOWS_FULL_SILENT, flows_full_silent, "as flows_full, but told or forced to be silent")  \
	X(SNAT_EXHAUSTED_SILENT, snat_exhausted_silent,                                            \
	  "as snat_exhausted, but told or forced to be silent")                                    \
	X(TTL_EXCEEDED_SILENT, ttl_exceeded_silent, "as ttl_exceeded, but over the rate or ICMP")  \
	X(KILLED_SILENT, killed_silent, "as killed, but a RST or over the reply rate")             \
	X(TOO_BIG_SILENT, too_big_silent, "as too_big, but over the reply rate")                   \
	X(ECHO_SILENT, echo_silent, "as echo, but over the reply rate")                            \
	X(TOO_BIG_NO_DF, too_big_no_df,                                                            \
	  "too long for the link that it leaves by, and its sender has not asked to be told (DF)") \
	X(NO_HEADROOM, no_headroom, "ipip: the driver leaves no room for the outer header")

/* Sent out: forwarded, or answered by weir itself. */
#define WEIR_REASONS_SEND(X)                                                                       \
	X(TO_BACKEND, to_backend, "known flow, forwarded to its backend")                          \
	X(TO_CLIENT, to_client, "known flow, reply forwarded to its client")                       \
	X(NEW_FLOW, new_flow, "first packet of a new flow, forwarded to the chosen backend")       \
	X(NO_FLOW, no_flow, "TCP segment without a flow, answered with RST")                       \
	X(NO_BACKEND, no_backend, "no usable backend, answered with RST or port unreachable")      \
	X(FLOWS_FULL, flows_full, "flow table is full, answered with RST or port unreachable")     \
	X(SNAT_EXHAUSTED, snat_exhausted,                                                          \
	  "no free source port towards the backend, answered with RST or port unreachable")        \
	X(TTL_EXCEEDED, ttl_exceeded, "TTL ran out, answered with ICMP time exceeded")             \
	X(KILLED, killed, "segment of a connection that was killed, answered with RST")            \
	X(TOO_BIG, too_big,                                                                        \
	  "too long for the link that it leaves by (ipip: with its outer header), told by ICMP")   \
	X(ECHO, echo, "ping of a service address that this host does not have, answered")          \
	X(LATER_FRAGMENT, later_fragment, "fragment, forwarded the way of its first")              \
	X(ICMP_ERROR, icmp_error, "ICMP error about a flow, forwarded to its other side")          \
	X(HASHED, hashed, "dsr, ipip: segment without a session, forwarded as its hash says")

#define WEIR_REASONS(X)                                                                            \
	WEIR_REASONS_PASS(X)                                                                       \
	WEIR_REASONS_DROP(X)                                                                       \
	WEIR_REASONS_SEND(X)

#define WEIR_REASON_ENUM(NAME, name, help) WEIR_REASON_##NAME,
#define WEIR_REASON_COUNT_ONE(NAME, name, help) +1

enum weir_reason { WEIR_REASONS(WEIR_REASON_ENUM) WEIR_REASON_COUNT };

#define WEIR_REASON_FIRST_DROP (0 WEIR_REASONS_PASS(WEIR_REASON_COUNT_ONE))
#define WEIR_REASON_FIRST_SEND (WEIR_REASON_FIRST_DROP WEIR_REASONS_DROP(WEIR_REASON_COUNT_ONE))

enum weir_verdict { WEIR_VERDICT_PASS, WEIR_VERDICT_DROP, WEIR_VERDICT_SEND };

static inline enum weir_verdict weir_reason_verdict(enum weir_reason reason)
{
	if ((int)reason < WEIR_REASON_FIRST_DROP)
		return WEIR_VERDICT_PASS;
	return (int)reason < WEIR_REASON_FIRST_SEND ? WEIR_VERDICT_DROP : WEIR_VERDICT_SEND;
}
