// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/cleanup.h"

#include "tests/packet/pinned.h"

/* kill -9 at any moment: what is left goes on, and the next process can use it, or make it anew. */

#define LOOPBACK 1 /* the only interface without packets that nobody asked for */

static void work_and_wait(int tell)
{
	struct world *world = world_of(open_pins(false));
	struct talk talk = talk_tcp(world, CLIENT, 40000);
	struct error error;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	talk_establish(&talk);
	if (datapath_attach(world->datapath, LOOPBACK, false, &error) == 0 &&
	    write(tell, &talk, sizeof(talk)) == sizeof(talk) &&
	    write(tell, world, sizeof(*world)) == sizeof(*world))
		pause();
	_exit(1);
}

static void killed_at_work(void **state)
{
	struct datapath_sizes sizes = world_sizes(FLOWS, HALF_OPEN);
	struct world world;
	struct talk talk;
	uint32_t ifindex;
	int tell[2];
	pid_t child;

	assert_int_equal(pipe(tell), 0);
	child = fork();
	if (child == 0)
		work_and_wait(tell[1]);
	close(tell[1]);
	assert_int_equal(read(tell[0], &talk, sizeof(talk)), sizeof(talk));
	assert_int_equal(read(tell[0], &world, sizeof(world)), sizeof(world));
	close(tell[0]);
	open_fails(&sizes, -EBUSY, (const char *const[]){ "instance 'test'", NULL });
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);

	talk.world = &world;
	world.flows = NULL;
	world.datapath = NULL;
	world_use(&world, open_pins(true));
	assert_int_equal(datapath_attached(world.datapath, &ifindex, 1), 1);
	assert_int_equal(ifindex, LOOPBACK);
	talk_client(&talk, ACK, 100);
	talk_backend(&talk, ACK, 100);
	assert_flows(&world, 0, 1, 0);
	world_use(&world, NULL);
}

/* Calls of one kind, one after the other. */
struct row {
	__u64 kind;
	int length;
};

/* A system call that changes what is pinned. */
static bool changes_pins(const struct __ptrace_syscall_info *call)
{
	switch (call->entry.nr) {
	case __NR_mkdir:
	case __NR_rename:
	case __NR_unlink:
	case __NR_rmdir:
		return true;
	case __NR_bpf:
		return call->entry.args[0] == BPF_OBJ_PIN ||
		       call->entry.args[0] == BPF_LINK_CREATE ||
		       call->entry.args[0] == BPF_LINK_DETACH;
	default:
		return false;
	}
}

/*
 * One map after the other is pinned, and removed, in the middle: of calls of one kind in a row, these
 * are moments enough.
 */
static bool is_moment(const struct __ptrace_syscall_info *call, struct row *row)
{
	__u64 kind = call->entry.nr << 8 | (call->entry.nr == __NR_bpf ? call->entry.args[0] : 0);

	row->length = kind == row->kind ? row->length + 1 : 1;
	row->kind = kind;
	return row->length <= 3 || row->length % 16 == 0;
}

/* Runs @work in a process that is killed just before its @moment-th change. False: it had fewer. */
static bool kill_at(void (*work)(void), int moment)
{
	struct __ptrace_syscall_info call;
	struct row row = { 0 };
	pid_t child = fork();
	int status;

	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		work();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, child, NULL,
				(void *)(PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD)),
			 0);
	while (WIFSTOPPED(status)) {
		/* Fails once it is killed. */
		ptrace(PTRACE_SYSCALL, child, NULL, NULL);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80) &&
		    ptrace(PTRACE_GET_SYSCALL_INFO, child, (void *)sizeof(call), &call) > 0 &&
		    call.op == PTRACE_SYSCALL_INFO_ENTRY && changes_pins(&call) &&
		    is_moment(&call, &row) && !moment--)
			kill(child, SIGKILL);
	}
	if (WIFEXITED(status))
		assert_int_equal(WEXITSTATUS(status), 0);
	return WIFSIGNALED(status);
}

static void make(void)
{
	struct datapath_sizes sizes = world_sizes(FLOWS, HALF_OPEN);
	struct datapath *datapath;
	struct error error;
	bool adopted;

	_exit(datapath_open(&sizes, PINS, &datapath, &adopted, &error) ||
	      datapath_attach(datapath, LOOPBACK, false, &error));
}

static void attach(void)
{
	struct datapath *datapath = open_pins(true);
	struct error error;

	/* Attached in the other mode before. */
	_exit(datapath_attach(datapath, LOOPBACK, true, &error) == -EOPNOTSUPP ? 0 : 2);
}

static void tear_down(void)
{
	struct error error;

	_exit(datapath_remove_pins(PINS, &error) != 1);
}

/* Whatever is there: the next one can use it. */
static void is_usable(void)
{
	struct datapath_sizes sizes = world_sizes(FLOWS, HALF_OPEN);
	struct datapath *datapath;
	struct error error = {};
	struct world *world;
	struct talk talk;
	bool adopted;

	if (datapath_open(&sizes, PINS, &datapath, &adopted, &error))
		fail_msg("%s", error.text);
	assert_int_equal(pin_count("new"), -1);
	/* Links without the tables of their program are nothing that goes on. */
	if (!adopted)
		assert_int_equal(datapath_attached(datapath, NULL, 0), 0);
	if (datapath_attach(datapath, LOOPBACK, false, &error))
		fail_msg("%s", error.text);
	world = world_of(datapath);
	talk = talk_tcp(world, CLIENT, 40000);
	talk_establish(&talk);
	assert_flows(world, 0, 1, 0);
	world_use(world, NULL);
	free(world);
	assert_int_equal(datapath_remove_pins(PINS, &error), 1);
	assert_int_equal(access(PINS, F_OK), -1);
}

static void killed_while_making(void **state)
{
	int moment = 0;

	while (kill_at(make, moment++))
		is_usable();
	is_usable();
	assert_true(moment > 15);
}

static void attach_lo(void)
{
	struct datapath *datapath = open_pins(false);
	struct error error;

	assert_int_equal(datapath_attach(datapath, LOOPBACK, false, &error), 0);
	datapath_close(datapath);
}

static void killed_while_attaching(void **state)
{
	int moment = 0;

	for (;;) {
		bool killed;

		attach_lo();
		killed = kill_at(attach, moment++);
		is_usable();
		if (!killed)
			break;
	}
	assert_true(moment > 3);
}

static void killed_while_removing(void **state)
{
	int moment = 0;

	for (;;) {
		bool killed;

		attach_lo();
		killed = kill_at(tear_down, moment++);
		if (!killed)
			break;
		is_usable();
	}
	assert_true(moment > 10);
	assert_int_equal(access(PINS, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pinned_test(killed_at_work),
		pinned_test(killed_while_making),
		pinned_test(killed_while_attaching),
		pinned_test(killed_while_removing),
	};

	return pinned_tests(tests);
}
