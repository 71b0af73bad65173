// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/daemon/detach.h"
#include "src/daemon/restore.h"
#include "src/netlink/host.h"

#include "tests/packet/pinned.h"

/* `weir detach`: afterwards the host is as it was before weir came. */

static char directory[] = "/tmp/weir-detach-XXXXXX";
static char socket_path[64], state_path[64];
static const struct detach_paths paths = { socket_path, state_path, PINS };

static char said[2048];

static void take(const char *line, void *user)
{
	assert_ptr_equal(user, said);
	strcat(strcat(said, line), "\n");
}

static int detach(bool force, struct error *error)
{
	said[0] = '\0';
	return daemon_detach(&paths, force, take, said, error);
}

static void must_detach(bool force)
{
	struct error error = {};

	if (detach(force, &error))
		fail_msg("%s", error.text);
}

static void assert_says(const char *text, const char *what)
{
	if (!strstr(text, what))
		fail_msg("'%s' does not say '%s'", text, what);
}

static uint32_t attached_program(const char *name)
{
	uint32_t program = 0;

	assert_int_equal(bpf_xdp_query_id((int)if_nametoindex(name), 0, &program), 0);
	return program;
}

/* As a daemon that was killed leaves it. */
static void leave_all(void)
{
	struct datapath *datapath = open_pins(false);
	struct restore restore = { .path = state_path };
	struct error error;

	assert_int_equal(datapath_attach(datapath, if_nametoindex("weir0"), false, &error), 0);
	datapath_close(datapath);
	assert_int_equal(restore_begin(&restore, &error), 0);
	assert_int_equal(restore_remember(&restore, HOST_FORWARDING4, "weir0", 0, &error), 0);
	assert_int_equal(restore_remember(&restore, HOST_FORWARDING4, "gone0", 0, &error), 0);
	assert_int_equal(restore_remember(&restore, HOST_ACCEPT_RA, "weir0", 1, &error), 0);
	assert_int_equal(restore_remember(&restore, HOST_FORWARDING6, "weir0", 0, &error), 0);
	restore_free(&restore);
	assert_int_equal(host_set_switch(HOST_FORWARDING4, "weir0", 1), 0);
	assert_int_equal(host_set_switch(HOST_ACCEPT_RA, "weir0", 2), 0);
	assert_int_equal(host_set_switch(HOST_FORWARDING6, "weir0", 1), 0);
	assert_int_equal(system("ip neigh replace 2001:db8::11 dev weir0 managed extern_learn "
				"protocol 119"),
			 0);
	assert_int_equal(system("ip neigh replace 192.168.178.11 dev weir0 managed extern_learn "
				"protocol 119"),
			 0);
	assert_int_equal(system("ip neigh replace 192.168.178.12 dev weir0 managed extern_learn"),
			 0);
}

static bool has_neighbour(void)
{
	return system("ip neigh show dev weir0 | grep -q '192.168.178.11.*managed'") == 0 ||
	       system("ip neigh show dev weir0 | grep -q '2001:db8::11.*managed'") == 0;
}

/* Somebody else's. */
static bool has_other_neighbour(void)
{
	return system("ip neigh show dev weir0 | grep -q '192.168.178.12.*managed'") == 0;
}

static void assert_nothing_is_left(void)
{
	assert_int_equal(attached_program("weir0"), 0);
	assert_int_equal(access(PINS, F_OK), -1);
	assert_int_equal(access(state_path, F_OK), -1);
	assert_int_equal(host_switch(HOST_FORWARDING4, "weir0"), 0);
	assert_int_equal(host_switch(HOST_FORWARDING6, "weir0"), 0);
	assert_int_equal(host_switch(HOST_ACCEPT_RA, "weir0"), 1);
	assert_false(has_neighbour());
	assert_true(has_other_neighbour());
}

static void takes_all_back(void **state)
{
	leave_all();
	assert_true(has_neighbour());
	assert_true(attached_program("weir0") > 0);
	must_detach(false);
	assert_says(said, "taken off all interfaces");
	assert_says(said, "net.ipv4.conf.weir0.forwarding set back to 0\n");
	assert_says(said, "net.ipv6.conf.weir0.forwarding set back to 0\n");
	assert_says(said, "net.ipv6.conf.weir0.accept_ra set back to 1\n");
	assert_says(said, "neighbour entries");
	assert_nothing_is_left();
	must_detach(false);
	assert_string_equal(said, "nothing to do: weir has left nothing on this host\n");
}

/* Stands for a daemon: serves the socket, holds the pins, and ends at SIGTERM, or does not. */
static pid_t start_daemon(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), ready[2];
	char byte;
	pid_t pid;

	strcpy(address.sun_path, socket_path);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		open_pins(true);
		if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 4) ||
		    write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(fd);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void end_daemon(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	unlink(socket_path);
}

static void refuses_while_a_daemon_runs(void **state)
{
	struct error error;
	char name[32];
	pid_t pid;

	leave_all();
	pid = start_daemon();
	snprintf(name, sizeof(name), "pid %d", pid);
	assert_int_equal(detach(false, &error), -EBUSY);
	assert_says(error.text, name);
	assert_says(error.text, "--force");
	/* Another socket, the same pins. */
	assert_int_equal(unlink(socket_path), 0);
	assert_int_equal(detach(false, &error), -EBUSY);
	assert_says(error.text, "instance 'test'");
	assert_string_equal(said, "");
	assert_true(attached_program("weir0") > 0);
	assert_int_equal(host_switch(HOST_FORWARDING4, "weir0"), 1);
	end_daemon(pid);
	must_detach(false);
	assert_nothing_is_left();
}

static void force_stops_the_daemon(void **state)
{
	pid_t pid;
	int status;

	leave_all();
	pid = start_daemon();
	must_detach(true);
	assert_says(said, "stopped the daemon");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	unlink(socket_path);
	assert_nothing_is_left();
	/* Nobody to stop is no reason to fail. */
	must_detach(true);
}

static void a_damaged_state_file_stays(void **state)
{
	struct error error;
	FILE *file;

	leave_all();
	file = fopen(state_path, "we");
	assert_non_null(file);
	fputs("{", file);
	fclose(file);
	assert_int_equal(detach(false, &error), -EINVAL);
	assert_says(error.text, state_path);
	assert_says(said, "taken off all interfaces");
	assert_int_equal(attached_program("weir0"), 0);
	assert_int_equal(access(state_path, F_OK), 0);
	assert_int_equal(unlink(state_path), 0);
}

static int make_directory(void **state)
{
	if (!mkdtemp(directory))
		return -1;
	snprintf(socket_path, sizeof(socket_path), "%s/weir.sock", directory);
	snprintf(state_path, sizeof(state_path), "%s/weir.state", directory);
	return 0;
}

static int remove_directory(void **state)
{
	unlink(socket_path);
	unlink(state_path);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pinned_test(takes_all_back),
		pinned_test(refuses_while_a_daemon_runs),
		pinned_test(force_stops_the_daemon),
		pinned_test(a_damaged_state_file_stays),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return network_enter() && bpffs_enter() ?
		       cmocka_run_group_tests(tests, make_directory, remove_directory) :
		       0;
}
