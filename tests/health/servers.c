// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "tests/health/servers.h"

#include <arpa/inet.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/unit.h"

#define CONFIGURATION                                                                              \
	"daemon off; master_process off; user root; pid %1$s/pid; error_log %1$s/error.log;\n"     \
	"events {}\n"                                                                              \
	"http {\n"                                                                                 \
	"  log_format short '$http_host|$request_uri|$ssl_server_name|$http_connection';\n"        \
	"  access_log %1$s/access.log short;\n"                                                    \
	"  client_body_temp_path %1$s/a; proxy_temp_path %1$s/b; fastcgi_temp_path %1$s/c;\n"      \
	"  uwsgi_temp_path %1$s/d; scgi_temp_path %1$s/e;\n"                                       \
	"  ssl_certificate %1$s/certificate; ssl_certificate_key %1$s/key;\n"                      \
	"  server {\n"                                                                             \
	"    listen 127.0.0.1:80; listen [::1]:80;\n"                                              \
	"    listen 127.0.0.1:443 ssl; listen [::1]:443 ssl;\n"                                    \
	"    location / { return 200 'all is well'; }\n"                                           \
	"    location /broken { return 503; }\n"                                                   \
	"    location /moved { return 302 /broken; }\n"                                            \
	"    location /teapot { return 418; }\n"                                                   \
	"    location /files/ { alias %1$s/; }\n"                                                  \
	"  }\n"                                                                                    \
	"}\n"

static char directory[] = "/tmp/weir-health-XXXXXX";
static pid_t nginx;

static void command(const char *text)
{
	if (system(text) != 0)
		fail_msg("failed: %s", text);
}

int servers_network(void **state)
{
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	command("ip link set lo up && ip link add silent type veth peer name deaf && "
		"ip address add 10.9.0.1/24 dev silent && "
		"ip address add fd09::1/64 dev silent nodad && "
		"ip link set deaf up && ip link set silent up && "
		"ip neighbour add 10.9.0.2 lladdr 02:00:00:00:00:02 dev silent && "
		"ip neighbour add fd09::2 lladdr 02:00:00:00:00:02 dev silent");
	return 0;
}

void write_text(const char *path, const char *text)
{
	_cleanup_fclose_ FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
}

/* The word is before the 64 KiB that a check reads in one of them, and behind them in the other. */
static void write_large(const char *name, size_t blanks)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "%*sneedle%*s", (int)blanks, "", 1 << 20, "");
	assert_int_equal(chmod(path, 0644), 0);
}

static void start_nginx(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/nginx.conf", directory);
	nginx = fork();
	if (nginx == 0) {
		execl("/usr/sbin/nginx", "nginx", "-q", "-p", directory, "-c", path, "-e", "stderr",
		      NULL);
		_exit(127);
	}
	for (int i = 0; i < 100; i++) {
		const struct sockaddr_in address = { .sin_family = AF_INET,
						     .sin_port = htons(443),
						     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM, 0);

		if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
			return;
		usleep(50000);
	}
	fail_msg("nginx does not come up");
}

int servers_nginx(void **state)
{
	char text[4096], path[64];

	servers_network(state);
	assert_non_null(mkdtemp(directory));
	snprintf(
		text, sizeof(text),
		"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
		"-subj /CN=somebody.else -keyout %1$s/key -out %1$s/certificate 2>%1$s/openssl.log",
		directory);
	command(text);
	snprintf(path, sizeof(path), "%s/nginx.conf", directory);
	snprintf(text, sizeof(text), CONFIGURATION, directory);
	write_text(path, text);
	write_large("early", 60000);
	write_large("late", 70000);
	start_nginx();
	return 0;
}

int servers_stop(void **state)
{
	char text[64];

	if (nginx > 0) {
		kill(nginx, SIGKILL);
		waitpid(nginx, NULL, 0);
	}
	snprintf(text, sizeof(text), "rm -r %s", directory);
	command(text);
	return 0;
}

bool servers_logged(const char *line)
{
	char path[64], log[32768];

	snprintf(path, sizeof(path), "%s/access.log", directory);
	for (int i = 0; i < 100; i++) {
		_cleanup_fclose_ FILE *file = fopen(path, "r");

		assert_non_null(file);
		log[fread(log, 1, sizeof(log) - 1, file)] = '\0';
		if (strstr(log, line))
			return true;
		usleep(10000);
	}
	return false;
}

int listen_on(uint16_t port)
{
	const struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const int on = 1, off = 0;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1024), 0);
	return fd;
}

unsigned int accept_all(int fd, const char *answer)
{
	unsigned int count = 0;

	for (;; count++) {
		_cleanup_close_ int client = accept(fd, NULL, NULL);

		if (client < 0)
			return count;
		if (answer)
			assert_true(write(client, answer, strlen(answer)) >= 0);
	}
}
