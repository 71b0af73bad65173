// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/privileges.h"
#include "src/netlink/host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

/*
 * Each test drops privileges in a child, in a network namespace of its own, and does there what the
 * daemon does while it runs. Needs root.
 */

static const unsigned int kept[] = { CAP_BPF,    CAP_PERFMON, CAP_NET_ADMIN, CAP_NET_RAW,
				     CAP_SETUID, CAP_SETGID,  CAP_KILL };

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s (%s)\n", __func__, __LINE__, #condition,        \
				strerror(errno));                                                  \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static void in_child(void (*body)(void))
{
	int status;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct error error = { "" };

		CHECK(unshare(CLONE_NEWNET) == 0);
		if (privileges_drop(&error) < 0) {
			fprintf(stderr, "%s\n", error.text);
			_exit(2);
		}
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static bool is_kept(unsigned int capability)
{
	for (size_t i = 0; i < COUNT(kept); i++)
		if (kept[i] == capability)
			return true;
	return false;
}

static uint64_t read_set(const char *name)
{
	char line[256], pattern[32];
	unsigned long long set;
	FILE *file = fopen("/proc/self/status", "re");

	CHECK(file);
	snprintf(pattern, sizeof(pattern), "%s: %%llx", name);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, pattern, &set) == 1) {
			fclose(file);
			return set;
		}
	CHECK(!"the set is in /proc/self/status");
	return 0;
}

static void check_sets(void)
{
	uint64_t expected = 0;

	for (unsigned int i = 0; i < 64; i++)
		expected |= is_kept(i) ? 1ULL << i : 0;
	CHECK(read_set("CapPrm") == expected);
	CHECK(read_set("CapEff") == expected);
	CHECK(read_set("CapBnd") == expected);
	CHECK(read_set("CapInh") == 0);
	CHECK(read_set("CapAmb") == 0);
	CHECK(read_set("NoNewPrivs") == 1);
}

static void test_sets(void **state)
{
	in_child(check_sets);
}

static void check_lost(void)
{
	CHECK(mount("none", "/mnt", "tmpfs", 0, NULL) < 0 && errno == EPERM);
	CHECK(chown("/proc/self", 1, 1) < 0);
	CHECK(unshare(CLONE_NEWUTS) < 0 && errno == EPERM);
	CHECK(prctl(PR_CAPBSET_DROP, CAP_KILL, 0, 0, 0) < 0 && errno == EPERM);
}

static void test_what_is_lost(void **state)
{
	in_child(check_lost);
}

/* What the program that is run as root gains: nothing more. */
static void check_execute(void)
{
	execl("/bin/sh", "sh", "-c",
	      "while read -r name set; do case $name in CapEff:) exec test $((0x$set)) = \"$0\" ;; "
	      "esac; done </proc/self/status",
	      "824633733344", NULL);
	CHECK(!"executed");
}

static long bpf(int command, union bpf_attr *attributes)
{
	return syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

static int make_map(void)
{
	union bpf_attr create = {
		.map_type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 8, .max_entries = 4
	};

	return bpf(BPF_MAP_CREATE, &create);
}

/* r0 = *(u64 *)r10 - 8 read before it was written: only with CAP_PERFMON, as our program needs it. */
static int load_program(void)
{
	static const struct bpf_insn instructions[] = {
		{ .code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = 0, .src_reg = 10, .off = -8 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = XDP_DROP },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr load = { .prog_type = BPF_PROG_TYPE_XDP,
				.insns = (uint64_t)(uintptr_t)instructions,
				.insn_cnt = COUNT(instructions),
				.license = (uint64_t)(uintptr_t) "GPL" };

	return bpf(BPF_PROG_LOAD, &load);
}

static void check_bpf(void)
{
	uint32_t key = 1;
	uint64_t value = 2;
	unsigned char frame[64] = { 0 };
	int map = make_map(), program = load_program();
	union bpf_attr update = { .map_fd = map,
				  .key = (uint64_t)(uintptr_t)&key,
				  .value = (uint64_t)(uintptr_t)&value };
	union bpf_attr run = {
		.test = { .prog_fd = program,
			  .data_in = (uint64_t)(uintptr_t)frame,
			  .data_size_in = sizeof(frame),
			  .repeat = 1 },
	};
	union bpf_attr link = {
		.link_create = { .prog_fd = program,
				 .target_ifindex = 1,
				 .attach_type = BPF_XDP,
				 .flags = 2 /* generic: the driver of lo has no XDP */ },
	};

	CHECK(map >= 0 && program >= 0);
	CHECK(bpf(BPF_MAP_UPDATE_ELEM, &update) == 0);
	CHECK(bpf(BPF_PROG_TEST_RUN, &run) == 0);
	CHECK(run.test.retval == XDP_DROP);
	CHECK(bpf(BPF_LINK_CREATE, &link) >= 0);
}

static void test_bpf(void **state)
{
	in_child(check_bpf);
}

/* ICMP checks, and sniffing for nothing else. */
static void check_raw_sockets(void)
{
	CHECK(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_IP)) >= 0);
	CHECK(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP) >= 0);
}

static void test_raw_sockets(void **state)
{
	in_child(check_raw_sockets);
}

static int request(int fd, void *message)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
	} answer;

	CHECK(send(fd, message, ((struct nlmsghdr *)message)->nlmsg_len, 0) > 0);
	CHECK(recv(fd, &answer, sizeof(answer), 0) > 0);
	return answer.error.error;
}

static void check_netlink(void)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
	} up = {
		.header = { sizeof(up), RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK },
		.link = { .ifi_index = 1, .ifi_flags = IFF_UP, .ifi_change = IFF_UP },
	};
	struct {
		struct nlmsghdr header;
		struct ndmsg neighbour;
		struct rtattr address_header;
		uint32_t address;
	} add = {
		.header = { sizeof(add), RTM_NEWNEIGH,
			    NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE },
		.neighbour = { .ndm_family = AF_INET,
			       .ndm_ifindex = 1,
			       .ndm_state = NUD_PERMANENT },
		.address_header = { RTA_LENGTH(4), NDA_DST },
		.address = htonl(0x0a000001),
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	CHECK(fd >= 0);
	CHECK(request(fd, &up) == 0);
	CHECK(request(fd, &add) == 0);
}

static void test_netlink(void **state)
{
	in_child(check_netlink);
}

/* /proc/sys/net belongs to the owner of the namespace, or who has CAP_NET_ADMIN there. */
static void check_sysctl(void)
{
	CHECK(host_switch(HOST_FORWARDING4, "lo") == 0);
	CHECK(host_set_switch(HOST_FORWARDING4, "lo", 1) == 0);
	CHECK(host_switch(HOST_FORWARDING4, "lo") == 1);
	CHECK(host_set_switch(HOST_ACCEPT_RA, "lo", 2) == 0);
	CHECK(host_switch(HOST_ACCEPT_RA, "lo") == 2);
	CHECK(host_set_switch(HOST_FORWARDING6, "lo", 1) == 0);
	CHECK(host_switch(HOST_FORWARDING6, "lo") == 1);
}

static void test_sysctl(void **state)
{
	in_child(check_sysctl);
}

/* A check becomes nobody, gains nothing, and can be ended. */
static void check_becoming_nobody(void)
{
	int ready[2], status;
	char byte;
	pid_t pid;

	CHECK(pipe(ready) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		CHECK(setgroups(0, NULL) == 0 && setresgid(65534, 65534, 65534) == 0 &&
		      setresuid(65534, 65534, 65534) == 0);
		CHECK(read_set("CapPrm") == 0);
		CHECK(write(ready[1], "", 1) == 1);
		pause();
		_exit(3);
	}
	CHECK(read(ready[0], &byte, 1) == 1);
	CHECK(kill(pid, SIGKILL) == 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_becoming_nobody(void **state)
{
	in_child(check_becoming_nobody);
}

/* Root's own files stay open to it, those of others do not. */
static void check_files(void)
{
	char name[] = "/tmp/weir-privileges-XXXXXX";
	int fd = mkstemp(name);

	CHECK(fd >= 0);
	CHECK(fchmod(fd, 0600) == 0 && access(name, R_OK | W_OK) == 0);
	CHECK(unlink(name) == 0);
}

static void test_own_files(void **state)
{
	in_child(check_files);
}

static void test_twice(void **state)
{
	struct error error;
	int status;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	pid = fork();
	if (pid == 0) {
		CHECK(privileges_drop(&error) == 0);
		CHECK(privileges_drop(&error) == 0);
		check_sets();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Who has little keeps what it has of it. */
static void test_not_root(void **state)
{
	struct error error;
	int status;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	pid = fork();
	if (pid == 0) {
		CHECK(setresuid(65534, 65534, 65534) == 0);
		CHECK(privileges_drop(&error) == 0);
		CHECK(read_set("CapPrm") == 0);
		CHECK(read_set("NoNewPrivs") == 1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void *wait_forever(void *user)
{
	pause();
	return NULL;
}

static void test_not_with_threads(void **state)
{
	struct error error;
	pthread_t thread;
	int status;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		CHECK(pthread_create(&thread, NULL, wait_forever, NULL) == 0);
		CHECK(privileges_drop(&error) == -EBUSY);
		CHECK(strstr(error.text, " 1 other threads"));
		CHECK(read_set("NoNewPrivs") == 0);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_executed_programs_gain_nothing(void **state)
{
	in_child(check_execute);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_what_is_lost),
		cmocka_unit_test(test_executed_programs_gain_nothing),
		cmocka_unit_test(test_bpf),
		cmocka_unit_test(test_raw_sockets),
		cmocka_unit_test(test_netlink),
		cmocka_unit_test(test_sysctl),
		cmocka_unit_test(test_becoming_nobody),
		cmocka_unit_test(test_own_files),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_not_root),
		cmocka_unit_test(test_not_with_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
