// SPDX-License-Identifier: GPL-2.0-only
#include "tests/control/command_line.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The whole command line, run in a child against the fixture's daemon. */

static void test_misuse(void **state)
{
	expect("", 2, "", "weir: no command is given; see 'weir --help'\n");
	expect("frob", 2, "", "weir: there is no command 'frob'; see 'weir --help'\n");
	expect("--frob status", 2, "", "weir: unknown option '--frob'; see 'weir --help'\n");
	expect("fl\x1b[31mow", 2, "", "weir: there is no command 'fl?[31mow'; see 'weir --help'\n");
	expect("flow", 2, "",
	       "weir: flow: no command is given, such as 'flow list'; see 'weir --help'\n");
	expect("flow make", 2, "", "weir: there is no command 'flow make'; see 'weir --help'\n");
	expect("help frob", 2, "", "weir: there is no command 'frob'; see 'weir --help'\n");
	expect("help flow frob", 2, "",
	       "weir: there is no command 'flow frob'; see 'weir --help'\n");
	expect("status now", 2, "",
	       "weir: 'now' is one argument too many; see 'weir status --help'\n");
	expect("backend list a b", 2, "",
	       "weir: 'b' is one argument too many; see 'weir backend list --help'\n");
	expect("status --all", 2, "", "weir: unknown option '--all'; see 'weir status --help'\n");
	expect("flow list --reason new_flow", 2, "",
	       "weir: unknown option '--reason'; see 'weir flow list --help'\n");
	expect("flow list --client", 2, "",
	       "weir: --client: ADDR is missing; see 'weir flow list --help'\n");
	expect("flow list --client=here", 2, "",
	       "weir: --client: 'here' is wrong, expected an IPv4 or IPv6 address; see 'weir flow "
	       "list --help'\n");
	expect("flow list --backend 10.0.0.1", 2, "",
	       "weir: --backend: '10.0.0.1' is wrong, expected ADDR:PORT, IPv6 as [ADDR]:PORT; see "
	       "'weir flow list --help'\n");
	expect("flow list --backend 2001:db8::1:80", 2, "",
	       "weir: --backend: '2001:db8::1:80' is wrong, expected ADDR:PORT, IPv6 as "
	       "[ADDR]:PORT; see 'weir flow list --help'\n");
	expect("flow list --client [fd00::1]:80", 2, "",
	       "weir: --client: '[fd00::1]:80' is wrong, expected an IPv4 or IPv6 address; see "
	       "'weir flow list --help'\n");
	expect("backend set web 2001:db8::1:80 drain", 2, "",
	       "weir: '2001:db8::1:80' is no backend, expected ADDR:PORT, IPv6 as [ADDR]:PORT; see "
	       "'weir backend set --help'\n");
	expect("trace --reason whim", 2, "",
	       "weir: --reason: 'whim' is wrong, expected a reason of weir(8), such as new_flow; "
	       "see 'weir trace --help'\n");
	expect("flow list --service a --service b", 2, "",
	       "weir: --service is given twice; see 'weir flow list --help'\n");
	expect("flow list --service a\xff", 2, "",
	       "weir: --service: 'a\xff' is not valid UTF-8; see 'weir flow list --help'\n");
	expect("status --socket", 2, "",
	       "weir: --socket: its value is missing; see 'weir --help'\n");
	expect("status --socket=", 2, "", "weir: --socket: the path is empty; see 'weir --help'\n");
	expect("status --socket /x --instance y", 2, "",
	       "weir: --socket and --instance exclude each other; see 'weir --help'\n");
	expect("--instance=A status", 2, "",
	       "weir: instance name 'A' is wrong, expected 1 to 32 of a-z, 0-9 and '-'; see 'weir "
	       "--help'\n");
	expect("--instance=../x status", 2, "",
	       "weir: instance name '../x' is wrong, expected 1 to 32 of a-z, 0-9 and '-'; see "
	       "'weir --help'\n");
	expect("--instance=123456789012345678901234567890123 status", 2, "",
	       "weir: instance name '123456789012345678901234567890123' is wrong, expected 1 to 32 "
	       "of a-z, 0-9 and '-'; see 'weir --help'\n");
}

/* Of commands that change what runs: refused before the daemon is asked. */
static void test_misuse_of_changes(void **state)
{
	expect("backend remove web 10.0.0.1:80 --frob", 2, "",
	       "weir: unknown option '--frob'; see 'weir backend remove --help'\n");
	expect("backend remove web 10.0.0.1:80 more", 2, "",
	       "weir: 'more' is one argument too many; see 'weir backend remove --help'\n");
	expect("backend remove --deadline", 2, "",
	       "weir: --deadline: SECONDS is missing; see 'weir backend remove --help'\n");
	expect("backend remove --deadline=soon", 2, "",
	       "weir: deadline: expected a number, not 'soon'; see 'weir backend remove --help'\n");
	expect("reload --frob", 2, "", "weir: unknown option '--frob'; see 'weir reload --help'\n");
	expect("reload now", 2, "",
	       "weir: 'now' is one argument too many; see 'weir reload --help'\n");
	expect("reload --confirm", 2, "",
	       "weir: --confirm: SECONDS is missing; see 'weir reload --help'\n");
	expect("reload --confirm 5 --confirm=6", 2, "",
	       "weir: --confirm is given twice; see 'weir reload --help'\n");
	expect("confirm now", 2, "",
	       "weir: 'now' is one argument too many; see 'weir confirm --help'\n");
	expect("flow kill", 2, "",
	       "weir: which flows? expected --service, --backend, --client or --all; see 'weir "
	       "flow "
	       "kill --help'\n");
	expect("flow kill web", 2, "",
	       "weir: 'web' is one argument too many; see 'weir flow kill --help'\n");
	expect("flow kill --all --client 10.0.0.1", 2, "",
	       "weir: --all goes with no other option; see 'weir flow kill --help'\n");
	expect("flow kill --all=1", 2, "",
	       "weir: --all takes no value; see 'weir flow kill --help'\n");
}

static void test_refused(void **state)
{
	expect("check -c /nonexistent", 1, "",
	       "weir: /nonexistent: cannot be read: No such file or directory; -c FILE names "
	       "another\n");
	expect("backend list web", 1, "",
	       "weir: there is no service 'web'; 'weir service list' shows them\n");
	expect("--json backend list web", 1, "",
	       "weir: there is no service 'web'; 'weir service list' shows them\n");
	expect("status --socket /tmp/weir-test-none", 1, "",
	       "weir: no daemon answers on /tmp/weir-test-none: No such file or directory; start "
	       "one with 'weir run ...' or name its socket with --socket\n");
	expect("--instance test-none flow count", 1, "",
	       "weir: no daemon answers on /run/weir/test-none.sock: No such file or directory; "
	       "start one with 'weir run ...' or name its socket with --socket\n");
}

static void test_environment(void **state)
{
	unsetenv("WEIR_SOCKET");
	setenv("WEIR_INSTANCE", "test-none", 1);
	expect("flow count", 1, "",
	       "weir: no daemon answers on /run/weir/test-none.sock: No such file or directory; "
	       "start one with 'weir run ...' or name its socket with --socket\n");
	/* What is typed goes first. */
	setenv("WEIR_SOCKET", "/nowhere", 1);
	assert_non_null(strstr(weir("--instance test-two status").err, "/run/weir/test-two.sock"));
	assert_non_null(strstr(weir("status --socket=/elsewhere").err, "on /elsewhere:"));
	setenv("WEIR_SOCKET", "", 1);
	setenv("WEIR_INSTANCE", "", 1);
	assert_non_null(strstr(weir("run -i lo --listen 10.0.0.1:80 --backends 10.0.0.2").out,
			       " /run/weir/weir.sock /run/weir/weir.state "));
	unsetenv("WEIR_INSTANCE");
	setenv("WEIR_SOCKET", socket_path, 1);
}

static void test_decap(void **state)
{
	expect("decap -i eth0", 3, "decap eth0\n", "");
	expect("decap -i eth0 --address 1.2.3.4 --address 2001:db8::11", 3,
	       "decap eth0 1.2.3.4 2001:db8::11\n", "");
	expect("decap", 2, "",
	       "weir: -i: expected the interface that weir sends to; see 'weir decap --help'\n");
	expect("decap -i", 2, "", "weir: -i: its value is missing; see 'weir decap --help'\n");
	expect("decap -i a -i b", 2, "",
	       "weir: -i: is given twice; run one for each interface; see 'weir decap --help'\n");
	expect("decap -i eth0 --address [2001:db8::11]:80", 2, "",
	       "weir: --address: '[2001:db8::11]:80' is wrong, expected an IPv4 or IPv6 address; "
	       "see 'weir decap --help'\n");
	expect("decap -i=eth0 --address=1.2.3.4", 3, "decap eth0 1.2.3.4\n", "");
	expect("decap eth0", 2, "",
	       "weir: 'eth0' is one argument too many; see 'weir decap --help'\n");
	expect("decap -x", 2, "", "weir: unknown option '-x'; see 'weir decap --help'\n");
}

static void test_detach(void **state)
{
	unsetenv("WEIR_PINS");
	expect("--instance edge detach", 0,
	       "/run/weir/edge.sock\n/run/weir/edge.state\n/sys/fs/bpf/weir/edge\n", "");
	expect("--socket /tmp/a.b/c.d detach", 0,
	       "/tmp/a.b/c.d\n/tmp/a.b/c.d.state\n/sys/fs/bpf/weir/c-d\n", "");
	expect("--socket x.sock --json detach", 0,
	       "{\n  \"done\": [\n    \"x.sock\",\n    \"x.state\",\n    \"/sys/fs/bpf/weir/x\"\n"
	       "  ]\n}\n",
	       "");
	setenv("WEIR_PINS", "/sys/fs/bpf/mine", 1);
	expect("--instance edge detach --force", 1,
	       "/run/weir/edge.sock\n/run/weir/edge.state\n/sys/fs/bpf/mine\n",
	       "weir: it does not stop\n");
	unsetenv("WEIR_PINS");
	expect("detach now", 2, "",
	       "weir: 'now' is one argument too many; see 'weir detach --help'\n");
}

static void test_run(void **state)
{
	expect("run -i eth7 --instance a --listen 10.0.0.1:80 --listen 10.0.0.1:81 --backends "
	       "10.0.0.2",
	       7, "run 2 eth7 /run/weir/a.sock /run/weir/a.state ignores SIGPIPE\n", "");
	expect("--socket /tmp/x run -i eth7 --listen 10.0.0.1:80 --backends 10.0.0.2", 7,
	       "run 1 eth7 /tmp/x /tmp/x.state ignores SIGPIPE\n", "");
	expect("run -c=/nonexistent", 1, "",
	       "weir: /nonexistent: cannot be read: No such file or directory\n");
	expect("run -c", 2, "", "weir: -c: FILE is missing; see 'weir run --help'\n");
	expect("run -c=x -i lo", 2, "",
	       "weir: '-i': with a file there are no other options; see 'weir run --help'\n");
	assert_int_equal(weir("run").status, 2);
	/* Parsed, but no sound configuration. */
	assert_int_equal(weir("run -i lo --listen 10.0.0.1:80 --listen 10.0.0.1:80 --backends "
			      "10.0.0.2")
				 .status,
			 2);
}

/* Each family has its own source addresses and its own limit. */
static void test_check(void **state)
{
	static const char *const files[][2] = {
		{ "limits: {flows: 5, flows_v6: 5}\n", "" },
		{ "limits: {flows: 5, flows_v6: 201}\n",
		  "snat: 100 ports of 1 IPv6 address towards 2 backends are enough for 200 flows, "
		  "fewer than limits.flows_v6, 201; add addresses to snat.addresses" },
		{ "limits: {flows: 404}\n",
		  "snat: 100 ports of 2 addresses towards 1 backend are enough for 200 flows, "
		  "fewer "
		  "than limits.flows, 404; add addresses to snat.addresses" },
	};
	char path[64], line[128], expected[512];

	snprintf(path, sizeof(path), "%s/check.yaml", directory);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		FILE *file = fopen(path, "w");

		assert_non_null(file);
		fprintf(file,
			"interfaces: [eth0]\n%s"
			"snat: {ports: 1-100, addresses: [10.0.0.5, \"2001:db8::5\", 10.0.0.6]}\n"
			"services:\n"
			"- {name: six, listen: \"[2001:db8::10]:80\",\n"
			"   backends: [\"2001:db8::11\", \"2001:db8::12\"]}\n"
			"- {name: four, listen: 10.0.0.10:80, backends: [10.0.0.11]}\n"
			"- {name: both, listen: [\"[2001:db8::10]:81\", 10.0.0.10:81], mode: "
			"ipip,\n"
			"   scheduler: hash, backends: [10.0.0.11, \"2001:db8::11\"]}\n",
			files[i][0]);
		fclose(file);
		snprintf(line, sizeof(line), "check -c %s", path);
		snprintf(expected, sizeof(expected), "%s: warning: %s\n", path, files[i][1]);
		assert_string_equal(weir(line).err, files[i][1][0] ? expected : "");
		snprintf(line, sizeof(line), "--json check -c %s", path);
		snprintf(expected, sizeof(expected),
			 "{\"valid\":true,\"errors\":[],\"warnings\":[%s%s%s]}\n",
			 files[i][1][0] ? "\"" : "", files[i][1], files[i][1][0] ? "\"" : "");
		expect(line, 0, expected, "");
	}
	unlink(path);
}

static void test_help(void **state)
{
	static const char *const lines[] = { "run",          "status",    "service list",
					     "backend list", "flow list", "flow count",
					     "trace",        "detach",    "decap",
					     "help" };
	struct result general = weir("--help"), same = weir("help"), result, other;
	char line[64], example[64];

	assert_int_equal(general.status, 0);
	assert_string_equal(general.out, same.out);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_non_null(strstr(general.out, lines[i]));
		snprintf(line, sizeof(line), "%s --help", lines[i]);
		result = weir(line);
		assert_int_equal(result.status, 0);
		assert_string_equal(result.err, "");
		snprintf(line, sizeof(line), "Usage: weir %s", lines[i]);
		snprintf(example, sizeof(example), "Example:\n  weir %s", lines[i]);
		assert_non_null(strstr(result.out, line));
		assert_non_null(strstr(result.out, example));
		assert_non_null(strstr(result.out, "--socket PATH"));
		snprintf(line, sizeof(line), "help %s", lines[i]);
		other = weir(line);
		assert_string_equal(result.out, other.out);
	}
	assert_non_null(strstr(weir("flow --help").out, "flow count"));
	assert_non_null(strstr(weir("flow kill --help").out, "\n  --all "));
	assert_non_null(strstr(weir("reload --help").out, "\n  --confirm SECONDS "));
	assert_non_null(strstr(weir("backend remove --help").out, "\n  --deadline SECONDS "));
	expect("status --version", 0, "weir " WEIR_VERSION "\n", "");
}

static void test_json(void **state)
{
	expect("flow --json list --service 0", 0, "[]\n", "");
	expect("--json flow list --client 10.9.9.9 --service=1", 0,
	       "[\n{\"service\":\"tcp-192-168-178-10-8000\",\"protocol\":\"tcp\",\"client\":"
	       "\"10.9.9.9:40000\",\"listen\":\"192.168.178.10:8000\",\"backend\":"
	       "\"192.168.178.11:8000\",\"snat\":\"192.168.178.10:51234\",\"state\":"
	       "\"established\",\"idle_ms\":1500}\n]\n",
	       "");
	expect("flow count --json", 0,
	       "{\"half_open\":12,\"established\":123400,\"closing\":44,\"limit\":262144,"
	       "\"limit_v6\":65536,\"half_open_horizon_ms\":31200}\n",
	       "");
	assert_non_null(strstr(weir("--json status").out, "\"memory_bytes\":87200000"));
	assert_non_null(strstr(weir("--json backend list dns").out, "[\n{\"service\":\"dns\","));
	assert_non_null(strstr(weir("--json service list").out, "},\n{\"name\":\"dns\","));
}

static void test_lists(void **state)
{
	expect("service list", 0,
	       "SERVICE                  LISTEN                  PROTO  MODE  SCHED   UP   ACTIVE"
	       "      TOTAL  PACKETS IN / OUT\n"
	       "tcp-192-168-178-10-8000  192.168.178.10:8000     tcp    nat   wrr    2/2  123,400"
	       "  9,123,456       7.1M / 5.0M\n"
	       "dns                      192.168.178.10:53 (+1)  udp    nat   hash   0/1        0"
	       "         17            17 / 0\n",
	       "");
	expect("backend list dns", 0,
	       "SERVICE  BACKEND            WEIGHT  STATE  HEALTH  ACTIVE  TOTAL  PACKETS IN / OUT"
	       "  BYTES IN / OUT\n"
	       "dns      192.168.178.11:53       1  ready  none         0      0             0 / 0"
	       "           0 / 0\n",
	       "");
	expect("flow list --service 1", 0,
	       "PROTO  CLIENT                 LISTEN                 BACKEND                "
	       "SNAT                   STATE        IDLE\n"
	       "tcp    10.0.0.20:40000        192.168.178.10:8000    192.168.178.11:8000    "
	       "192.168.178.10:51234   established  1.5 s\n",
	       "");
	expect("flow list --service 0", 0,
	       "PROTO  CLIENT                 LISTEN                 BACKEND                "
	       "SNAT                   STATE        IDLE\n",
	       "");
	expect("flow count", 0,
	       "half-open               12   (kept for 31.2 s at the present rate of SYNs)\n"
	       "established        123,400\n"
	       "closing                 44\n"
	       "limit              262,144\n"
	       "limit IPv6          65,536\n",
	       "");
}

static void test_service_show(void **state)
{
	expect("service show web", 0,
	       "name             web\n"
	       "listen           192.168.178.10:8000, [2001:db8::10]:8000\n"
	       "scheduler        wrr\n"
	       "healthy          1\n"
	       "connections      active 123,400, total 7\n"
	       "fail_open        false\n"
	       "slow_start_ms    30,000\n"
	       "\n"
	       "SERVICE  BACKEND              WEIGHT  STATE  HEALTH  ACTIVE  TOTAL  PACKETS IN / "
	       "OUT  BYTES IN / OUT\n"
	       "web      192.168.178.11:8000       1  ready  up           0      0             0 / "
	       "0           0 / 0\n",
	       "");
}

static void test_status(void **state)
{
	const struct result result = weir("status");

	assert_int_equal(result.status, 0);
	assert_string_equal(result.err, "");
	assert_non_null(strstr(result.out,
			       "weir 0.1.0, generation 3, memory 87.2M, swept 412 ms ago\n"
			       "on trial: rolled back in 58.4 s unless confirmed with 'weir "
			       "confirm'\n\nINTERFACE"));
	assert_non_null(strstr(result.out, "eth0       native  veth       1234\n"));
	assert_non_null(strstr(result.out,
			       "flows    123,400 established, 12 half-open, 44 closing\n"
			       "         123,460 of 262,144 records in use\n"
			       "         60 of 65,536 for IPv6\n"
			       "         4 source ports rest until their backend forgets them\n"));
	/* The fullest first. */
	assert_non_null(strstr(
		result.out, "snat     123,300 of 36,283 ports towards 192.168.178.12:8000 for web\n"
			    "         100 of 36,283 ports towards 192.168.178.11:8000 for web\n"));
	assert_non_null(strstr(result.out,
			       "packets  12,124,669\n"
			       "         34,021 a second at present, and 1 new flow\n"));
	/* Sorted, without zeros; what this version does not know is shown too. */
	assert_non_null(strstr(result.out, "  MEANING\n"
					   "to_backend       send     7,000,000  known flow, "
					   "forwarded to its backend\nto_client "));
	assert_non_null(strstr(result.out, "\nfrom_the_future  -                1\n"));
	assert_null(strstr(result.out, "no_next_hop"));
}

/* On a terminal no line is longer than it is wide. */
static void test_terminal(void **state)
{
	static const char *const lines[] = { "status", "service list", "backend list",
					     "flow list" };

	for (unsigned short width = 80; width <= 120; width += 40) {
		for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
			const struct winsize size = { .ws_col = width, .ws_row = 24 };
			char out[8192], *rest = out;
			int terminal, status;
			pid_t pid = forkpty(&terminal, NULL, NULL, &size);

			assert_true(pid >= 0);
			if (pid == 0)
				run_line(lines[i]);
			assert_true(read_all(terminal, out, sizeof(out)) > 50);
			for (char *line; (line = strsep(&rest, "\r\n"));)
				assert_in_range(strlen(line), 0, width);
			assert_int_equal(waitpid(pid, &status, 0), pid);
			assert_int_equal(status, 0);
		}
	}
}

/* Each line arrives when it was made, also through a pipe. */
static void expect_trace(const char *line, const char *expected)
{
	char out[2048] = "";
	size_t used = 0;
	int pipes[2], status;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(pipes[1], STDOUT_FILENO);
		close(pipes[0]);
		run_line(line);
	}
	close(pipes[1]);
	while (used < strlen(expected)) {
		struct pollfd readable = { .fd = pipes[0], .events = POLLIN };
		ssize_t count;

		if (poll(&readable, 1, 5000) != 1)
			break;
		count = read(pipes[0], out + used, sizeof(out) - 1 - used);
		if (count <= 0)
			break;
		used += count;
		out[used] = '\0';
	}
	out[strlen(expected)] = '\0';
	assert_string_equal(out, expected);
	kill(pid, SIGINT);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	close(pipes[0]);
}

static void test_trace(void **state)
{
	expect_trace("trace",
		     "22:15:02.123456 tcp 10.0.0.20:40000 > 192.168.178.10:8000 [S] new_flow -> "
		     "192.168.178.11:8000\n"
		     "22:15:02.000000 udp 10.0.0.20:40000 > 192.168.178.10:53 not_ours\n"
		     "22:15:03.500000 not_ip\n");
	expect_trace(
		"--json trace --reason no_flow",
		"{\"time\":1700000102.123456,\"protocol\":\"tcp\",\"source\":\"10.0.0.20:40000\","
		"\"destination\":\"192.168.178.10:8000\",\"reason\":\"no_flow\",\"verdict\":"
		"\"send\",\"service\":\"web\",\"backend\":\"192.168.178.11:8000\",\"length\":74,"
		"\"tcp_flags\":\"S\"}\n");
}

/* Leaves @fd as standard output, runs @line, returns the status; stderr goes to @err. */
static int weir_into(int fd, const char *line, char *err, size_t size)
{
	int pipes[2], status;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(fd, STDOUT_FILENO);
		dup2(pipes[1], STDERR_FILENO);
		/* As started by a program that ignores it. */
		signal(SIGPIPE, SIG_IGN);
		run_line(line);
	}
	close(fd);
	close(pipes[1]);
	read_all(pipes[0], err, size);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_output_errors(void **state)
{
	static const char *const lines[] = { "flow list --service 200000", "status", "trace",
					     "--json flow list --service 200000", "--help" };
	char err[1024];

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		int pipes[2];

		assert_int_equal(pipe(pipes), 0);
		close(pipes[0]);
		assert_int_equal(weir_into(pipes[1], lines[i], err, sizeof(err)), 0);
		assert_string_equal(err, "");
		assert_int_equal(weir_into(open("/dev/full", O_WRONLY | O_CLOEXEC), lines[i], err,
					   sizeof(err)),
				 1);
		assert_string_equal(err, "weir: cannot write to stdout: No space left on device\n");
	}
}

static void test_many_flows(void **state)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	char err[1024];

	assert_int_equal(weir_into(fd, "flow list --service 50000", err, sizeof(err)), 0);
	assert_string_equal(err, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_misuse),     cmocka_unit_test(test_misuse_of_changes),
		cmocka_unit_test(test_refused),    cmocka_unit_test(test_environment),
		cmocka_unit_test(test_detach),     cmocka_unit_test(test_decap),
		cmocka_unit_test(test_run),        cmocka_unit_test(test_help),
		cmocka_unit_test(test_json),       cmocka_unit_test(test_check),
		cmocka_unit_test(test_lists),      cmocka_unit_test(test_service_show),
		cmocka_unit_test(test_status),     cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_trace),      cmocka_unit_test(test_output_errors),
		cmocka_unit_test(test_many_flows),
	};

	return cmocka_run_group_tests(tests, command_line_begin, command_line_end);
}
