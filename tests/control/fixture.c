// SPDX-License-Identifier: GPL-2.0-only
#include "src/control/server.h"
#include "tests/control/fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char status_text[] =
	"{\"version\":\"0.1.0\",\"generation\":3,"
	"\"interfaces\":[{\"name\":\"eth0\",\"attach\":\"native\",\"program_id\":1234,"
	"\"driver\":\"veth\"}],"
	"\"reasons\":{\"not_ours\":1200,\"to_backend\":7000000,\"to_client\":5000000,"
	"\"new_flow\":123456,\"no_flow\":12,\"no_next_hop\":0,\"from_the_future\":1},"
	"\"trial_ms\":58400,\"packets\":12124669,\"per_second\":{\"packets\":34021,\"flows\":1},"
	"\"flows\":{\"half_open\":12,\"established\":123400,\"closing\":44,"
	"\"used\":123460,\"quarantine\":4,\"limit\":262144,\"used_v6\":60,\"limit_v6\":65536,"
	"\"half_open_horizon_ms\":31200},"
	"\"snat\":[{\"service\":\"web\","
	"\"backend\":\"192.168.178.11:8000\",\"used\":100,\"limit\":36283},"
	"{\"service\":\"web\","
	"\"backend\":\"192.168.178.12:8000\",\"used\":123300,\"limit\":36283}],"
	"\"memory_bytes\":87200000,\"sweep_age_ms\":412}";

static int run_status(struct control_request *request, const json_t *arguments, void *user,
		      struct error *error)
{
	return control_reply(request, json_loads(status_text, 0, NULL));
}

static int run_service_list(struct control_request *request, const json_t *arguments, void *user,
			    struct error *error)
{
	control_reply(request,
		      json_pack("{s:s,s:[s],s:s,s:s,s:s,s:i,s:i,s:{s:i,s:i},s:{s:i,s:I}}", "name",
				"tcp-192-168-178-10-8000", "listen", "192.168.178.10:8000",
				"protocol", "tcp", "mode", "nat", "scheduler", "wrr", "backends", 2,
				"healthy", 2, "connections", "active", 123400, "total", 9123456,
				"packets", "in", 7123456, "out", (json_int_t)5000000));
	return control_reply(
		request,
		json_pack("{s:s,s:[s,s],s:s,s:s,s:s,s:i,s:i,s:{s:i,s:i},s:{s:i,s:i}}", "name",
			  "dns", "listen", "192.168.178.10:53", "192.168.178.13:53", "protocol",
			  "udp", "mode", "nat", "scheduler", "hash", "backends", 1, "healthy", 0,
			  "connections", "active", 0, "total", 17, "packets", "in", 17, "out", 0));
}

static json_t *backend(const char *service, const char *address, int weight, const char *health,
		       int active, json_int_t bytes)
{
	return json_pack("{s:s,s:s,s:i,s:s,s:s,s:{s:i,s:i},s:{s:i,s:i},s:{s:I,s:I}}", "service",
			 service, "address", address, "weight", weight, "state", "ready", "health",
			 health, "connections", "active", active, "total", 100 * active, "packets",
			 "in", 1000 * active, "out", 900 * active, "bytes", "in", bytes, "out",
			 12 * bytes);
}

static int run_backend_list(struct control_request *request, const json_t *arguments, void *user,
			    struct error *error)
{
	const char *service = json_string_value(json_object_get(arguments, "service"));

	if (service && strcmp(service, "dns") != 0)
		return error_set(error, -ENOENT,
				 "there is no service '%s'; 'weir service list' shows them",
				 service);
	if (!service) {
		control_reply(request, backend("tcp-192-168-178-10-8000", "192.168.178.11:8000", 1,
					       "up", 100, 123456));
		control_reply(request, backend("tcp-192-168-178-10-8000", "192.168.178.12:8000", 2,
					       "unknown", 123300, 98765432109));
	}
	return control_reply(request, backend("dns", "192.168.178.11:53", 1, "none", 0, 0));
}

static int run_service_show(struct control_request *request, const json_t *arguments, void *user,
			    struct error *error)
{
	return control_reply(request,
			     json_pack("{s:s,s:[s,s],s:s,s:i,s:{s:i,s:i},s:b,s:i,s:[o]}", "name",
				       "web", "listen", "192.168.178.10:8000",
				       "[2001:db8::10]:8000", "scheduler", "wrr", "healthy", 1,
				       "connections", "active", 123400, "total", 7, "fail_open", 0,
				       "slow_start_ms", 30000, "backends",
				       backend("web", "192.168.178.11:8000", 1, "up", 0, 0)));
}

/* Flows of one family, before there is one of the other. */
#define MANY 1000

struct flows {
	int given;
	int count;
	char client[64];
};

static json_t *next_flow(void *state)
{
	struct flows *flows = state;
	char client[96];

	bool v6 = strchr(flows->client, ':');

	if (flows->given == flows->count)
		return NULL;
	/* One of the other family comes after many. */
	if (flows->given == MANY)
		v6 = !v6;
	snprintf(client, sizeof(client), v6 ? "[%s]:%d" : "%s:%d", flows->client,
		 40000 + flows->given++ % 20000);
	if (v6)
		return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:i}", "service", "six", "protocol",
				 "udp", "client", client, "listen", "[fd00:b::10]:8000", "backend",
				 "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535", "snat",
				 "[fd00:b::10]:51234", "state", "half_open", "idle_ms", 250);
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:i}", "service", "tcp-192-168-178-10-8000",
			 "protocol", "tcp", "client", client, "listen", "192.168.178.10:8000",
			 "backend", "192.168.178.11:8000", "snat", "192.168.178.10:51234", "state",
			 "established", "idle_ms", 1500);
}

static int run_flow_list(struct control_request *request, const json_t *arguments, void *user,
			 struct error *error)
{
	const char *client = json_string_value(json_object_get(arguments, "client"));
	const char *service = json_string_value(json_object_get(arguments, "service"));
	struct flows *flows = calloc(1, sizeof(*flows));

	if (!flows)
		return -ENOMEM;
	flows->count = 2;
	if (service)
		flows->count = atoi(service);
	snprintf(flows->client, sizeof(flows->client), "%s", client ? client : "10.0.0.20");
	return control_reply_stream(request, next_flow, free, flows);
}

static int run_flow_count(struct control_request *request, const json_t *arguments, void *user,
			  struct error *error)
{
	return control_reply(request,
			     json_pack("{s:i,s:i,s:i,s:i,s:i,s:i}", "half_open", 12, "established",
				       123400, "closing", 44, "limit", 262144, "limit_v6", 65536,
				       "half_open_horizon_ms", 31200));
}

static void on_gone(struct control_request *request, void *user)
{
}

static int run_trace(struct control_request *request, const json_t *arguments, void *user,
		     struct error *error)
{
	const char *reason = json_string_value(json_object_get(arguments, "reason"));

	control_hold(request, on_gone, NULL);
	control_push(request,
		     json_pack("{s:f,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:s}", "time",
			       1700000102.123456, "protocol", "tcp", "source", "10.0.0.20:40000",
			       "destination", "192.168.178.10:8000", "reason",
			       reason ? reason : "new_flow", "verdict", "send", "service", "web",
			       "backend", "192.168.178.11:8000", "length", 74, "tcp_flags", "S"));
	control_push(request, json_pack("{s:f,s:s,s:s,s:s,s:s,s:s,s:i}", "time", 1700000102.0000005,
					"protocol", "udp", "source", "10.0.0.20:40000",
					"destination", "192.168.178.10:53", "reason", "not_ours",
					"verdict", "pass", "length", 60));
	return control_push(request, json_pack("{s:f,s:s,s:s,s:n}", "time", 1700000103.5, "reason",
					       "not_ip", "verdict", "pass", "backend"));
}

static const struct control_command fixture_commands[] = {
	{ "status", false, run_status },
	{ "service list", false, run_service_list },
	{ "service show", false, run_service_show },
	{ "backend list", false, run_backend_list },
	{ "flow list", false, run_flow_list },
	{ "flow count", false, run_flow_count },
	{ "trace", false, run_trace },
	{ NULL, false, NULL },
};

static void on_signal(uv_signal_t *handle, int number)
{
	control_server_free(handle->data);
	uv_close((uv_handle_t *)handle, NULL);
}

static int serve(const char *path, int ready)
{
	struct control_server *server;
	struct error error;
	uv_signal_t end;
	uv_loop_t loop;

	uv_loop_init(&loop);
	if (control_server_new(&loop, path, NULL, fixture_commands, NULL, &server, &error) < 0) {
		fprintf(stderr, "fixture: %s\n", error.text);
		return 1;
	}
	uv_signal_init(&loop, &end);
	end.data = server;
	uv_signal_start(&end, on_signal, SIGTERM);
	if (write(ready, "", 1) != 1)
		return 1;
	close(ready);
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop) == 0 ? 0 : 1;
}

pid_t fixture_start(const char *path)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		close(ready[0]);
		exit(serve(path, ready[1]));
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

void fixture_stop(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}
