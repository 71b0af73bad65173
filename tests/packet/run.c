// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "src/base/cleanup.h"

#include "src/datapath/records.h"
#include "tests/packet/harness.h"

#define NAME(NAME_, name_, help_) #name_,

static const char *const reason_names[] = { WEIR_REASONS(NAME) };
static const char *const verdict_names[] = { "aborted", "drop", "pass", "tx", "redirect" };

static uint32_t linear_length(const struct world *world, const struct frame *frame)
{
	if (world->linear && world->linear < frame->length)
		return world->linear;
	return (uint32_t)frame->length;
}

static uint32_t run(struct world *world, const struct frame *in, struct frame *out)
{
	struct xdp_md context = {
		.data_end = linear_length(world, in),
		.ingress_ifindex = world->ingress,
	};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = in->bytes,
		    .data_size_in = (uint32_t)in->length, .data_out = out->bytes,
		    .data_size_out = sizeof(out->bytes), .ctx_in = &context,
		    .ctx_size_in = sizeof(context), .repeat = 1);
	int r = bpf_prog_test_run_opts(datapath_xdp_fd(world->datapath), &options);

	if (r)
		print_error("BPF_PROG_TEST_RUN: %s\n", strerror(-r));
	assert_int_equal(r, 0);
	out->length = options.data_size_out;
	world->sent++;
	return options.retval;
}

uint32_t world_run_quickly(struct world *world, const struct frame *frame)
{
	struct frame out;

	return run(world, frame, &out);
}

uint32_t world_run_frame(struct world *world, const struct frame *in, struct frame *out)
{
	return run(world, in, out);
}

bool world_splits(struct world *world)
{
	uint8_t bytes[64] = { 0 };
	struct xdp_md context = { .data_end = 32, .ingress_ifindex = world->ingress };
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = bytes, .data_size_in = sizeof(bytes),
		    .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = 1);

	if (bpf_prog_test_run_opts(datapath_xdp_fd(world->datapath), &options))
		return false;
	world->sent++;
	return true;
}

void world_read_counters(struct world *world)
{
	assert_int_equal(datapath_read_counters(world->datapath, &world->counters), 0);
}

struct outcome world_run(struct world *world, const struct frame *frame)
{
	struct weir_counters before;
	struct outcome outcome;
	int moved = 0;

	world_read_counters(world);
	before = world->counters;
	outcome.verdict = run(world, frame, &outcome.frame);
	world_read_counters(world);
	for (int i = 0; i < WEIR_REASON_COUNT; i++) {
		uint64_t more = world->counters.reasons[i] - before.reasons[i];

		if (more)
			outcome.reason = i;
		moved += (int)more;
	}
	assert_int_equal(moved, 1);
	assert_int_equal(world->counters.packets, before.packets + 1);
	return outcome;
}

static void print_frame(const char *what, const struct frame *frame)
{
	char line[3 * 16 + 1];

	print_error("%s, %zu bytes\n", what, frame->length);
	for (size_t i = 0; i < frame->length && i < 128; i++) {
		snprintf(line + i % 16 * 3, 4, "%02x ", frame->bytes[i]);
		if (i % 16 == 15 || i + 1 == frame->length)
			print_error("  %3zu  %s\n", i / 16 * 16, line);
	}
}

static bool frames_equal(const struct frame *a, const struct frame *b)
{
	return a->length == b->length && !memcmp(a->bytes, b->bytes, a->length);
}

void world_send_(struct world *world, const struct frame *in, enum weir_reason reason,
		 uint32_t verdict, const struct frame *out, const char *file, int line)
{
	struct outcome outcome = world_run(world, in);
	size_t at = 0;

	if (!out)
		out = in;
	if (outcome.reason == reason && outcome.verdict == verdict &&
	    frames_equal(&outcome.frame, out))
		return;
	print_error("expected %s %s, got %s %s\n", reason_names[reason], verdict_names[verdict],
		    reason_names[outcome.reason], verdict_names[outcome.verdict]);
	while (at < out->length && at < outcome.frame.length &&
	       out->bytes[at] == outcome.frame.bytes[at])
		at++;
	if (!frames_equal(&outcome.frame, out))
		print_error("first difference at byte %zu\n", at);
	print_frame("frame in", in);
	print_frame("expected", out);
	print_frame("got", &outcome.frame);
	_fail(file, line);
}

int world_map(const struct world *world, const char *name)
{
	int fd = datapath_map_fd(world->datapath, name);

	if (fd < 0) {
		print_error("no map %s\n", name);
		fail();
	}
	return dup(fd);
}

uint32_t world_hash(const struct world *world, const struct weir_tuple *tuple)
{
	return (uint32_t)datapath_hash(world->datapath, tuple);
}

static bool is_live(const struct weir_flow *flow)
{
	return flow->control.state == WEIR_FLOW_HALF_OPEN ||
	       flow->control.state == WEIR_FLOW_ESTABLISHED ||
	       flow->control.state == WEIR_FLOW_CLOSING;
}

struct weir_flow *world_flow(const struct world *world, uint32_t place)
{
	if (frame_family() == WEIR_IPV6)
		return &((struct weir_flow6 *)world->flows)[place].flow;
	return &((struct weir_flow4 *)world->flows)[place].flow;
}

uint32_t flow_place(const struct world *world, const struct weir_flow *flow)
{
	if (frame_family() == WEIR_IPV6)
		return (uint32_t)((const struct weir_flow6 *)flow -
				  (const struct weir_flow6 *)world->flows);
	return (uint32_t)((const struct weir_flow4 *)flow -
			  (const struct weir_flow4 *)world->flows);
}

uint32_t flow_id(const struct world *world, const struct weir_flow *flow)
{
	return world->first_record + flow_place(world, flow);
}

uint32_t flow_backend(const struct world *world, const struct weir_flow *flow)
{
	if (frame_family() == WEIR_IPV6)
		return ntohl(((const struct weir_flow6 *)flow)->backend.source.word[3]);
	return ntohl(((const struct weir_flow4 *)flow)->backend.source);
}

uint32_t flow_snat(const struct world *world, const struct weir_flow *flow)
{
	if (frame_family() == WEIR_IPV6)
		return ntohl(((const struct weir_flow6 *)flow)->backend.destination.word[3]);
	return ntohl(((const struct weir_flow4 *)flow)->backend.destination);
}

static bool is_from(const struct weir_tuple *tuple, const struct segment *segment)
{
	const struct weir_address source = mapped(segment->source);
	const struct weir_address destination = mapped(segment->destination);

	return tuple->protocol == segment->protocol &&
	       tuple->source_port == htons(segment->source_port) &&
	       tuple->destination_port == htons(segment->destination_port) &&
	       !memcmp(&tuple->source, &source, sizeof(source)) &&
	       !memcmp(&tuple->destination, &destination, sizeof(destination));
}

const struct weir_flow *flow_of(const struct world *world, const struct segment *from_client)
{
	struct flow_record record;

	for (uint32_t i = 0; i < world->records; i++) {
		const struct weir_flow *flow = world_flow(world, i);

		if (is_live(flow) &&
		    records_read(world->tables, world->first_record + i, &record) &&
		    is_from(&record.client, from_client))
			return flow;
	}
	return NULL;
}

void flow_age(const struct world *world, const struct weir_flow *flow, uint32_t jiffies)
{
	struct weir_flow *writable = world_flow(world, flow_place(world, flow));

	writable->last_seen -= jiffies;
	if (flow->control.flags & WEIR_FLOW_UDP)
		writable->created -= jiffies;
}

uint32_t jiffies_of_ms(const struct world *world, uint32_t ms)
{
	return (uint32_t)((uint64_t)ms * world->tables->runtime->hz / 1000);
}
