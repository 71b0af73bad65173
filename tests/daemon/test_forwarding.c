// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/log.h"
#include "tests/daemon/fixture.h"

/* The sysctls that weir sets, over a host of two interfaces; the state file is a real one. */
enum { ETH0, ETH1, INTERFACES };

static int host[HOST_SWITCHES][INTERFACES];
static const char *const names[INTERFACES] = { "eth0", "eth1" };
static char order[256]; /* what was set, in turn */
static struct daemon daemon_;
static struct config config;
static struct interface interfaces[INTERFACES];
static char directory[] = "/tmp/weir-forwarding-XXXXXX";
static char path[64];
static struct daemon_options options;

/* What was said last. */
static char said[256];

void log_write(enum log_level level, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(said, sizeof(said), format, arguments);
	va_end(arguments);
}

static int number_of(const char *interface)
{
	for (int i = 0; i < INTERFACES; i++)
		if (!strcmp(interface, names[i]))
			return i;
	return -ENOENT;
}

int host_switch(enum host_switch which, const char *interface)
{
	int number = number_of(interface);

	return number < 0 ? number : host[which][number];
}

int host_set_switch(enum host_switch which, const char *interface, int value)
{
	char text[32];
	int number = number_of(interface);

	if (number < 0)
		return number;
	host[which][number] = value;
	snprintf(text, sizeof(text), "%d/%s=%d ", which, interface, value);
	strcat(order, text);
	return 0;
}

char *host_switch_format(enum host_switch which, const char *interface,
			 char buffer[static HOST_SWITCH_STRING_SIZE])
{
	snprintf(buffer, HOST_SWITCH_STRING_SIZE, "%d/%s", which, interface);
	return buffer;
}

struct interface *interfaces_by_index(const struct daemon *daemon, uint32_t ifindex)
{
	return &interfaces[ifindex - 1];
}

/* As if the daemon before had been killed. */
static void start(void)
{
	struct error error = { "" };
	bool killed;

	restore_free(&daemon_.restore);
	daemon_.ready = false;
	assert_int_equal(forwarding_adopt(&daemon_, &killed, &error), 0);
	assert_int_equal(forwarding_follow(&daemon_, &error), 0);
	daemon_.ready = true;
}

static void end(void)
{
	struct error error = { "" };

	forwarding_restore(&daemon_);
	assert_int_equal(restore_end(&daemon_.restore, &error), 0);
}

static struct config_service *add_v6(void)
{
	struct config_service *service = add_service(&config, "v6", 80, WEIR_SCHEDULER_RR, 1);

	assert_int_equal(address_parse("2001:db8::80", &service->listens[0].endpoint.address), 0);
	return service;
}

static int set_up(void **state)
{
	memset(host, 0, sizeof(host));
	host[HOST_ACCEPT_RA][ETH0] = host[HOST_ACCEPT_RA][ETH1] = 1;
	order[0] = '\0';
	memset(&daemon_, 0, sizeof(daemon_));
	config_init(&config);
	for (int i = 0; i < INTERFACES; i++) {
		struct config_interface *interface = config_add_interface(&config);

		strcpy(interface->name, names[i]);
	}
	for (int i = 0; i < INTERFACES; i++)
		interfaces[i] = (struct interface){ .config = &config.interfaces[i],
						    .ifindex = i + 1 };
	options = (struct daemon_options){ .state_path = path };
	daemon_.options = &options;
	daemon_.config = &config;
	daemon_.interfaces = interfaces;
	return 0;
}

static int tear_down(void **state)
{
	restore_free(&daemon_.restore);
	config_free(&config);
	unlink(path);
	return 0;
}

static void test_ipv4_alone(void **state)
{
	add_service(&config, "v4", 80, WEIR_SCHEDULER_RR, 1);
	start();
	assert_string_equal(order, "0/eth0=1 0/eth1=1 ");
	assert_string_equal(said, "0/eth1 set to 1 (was 0, will be set back)");
	/* What is of no interest is no business of weir's. */
	forwarding_event(&daemon_, 1, AF_INET6, false);
	assert_string_equal(order, "0/eth0=1 0/eth1=1 ");
	assert_string_equal(said, "0/eth1 set to 1 (was 0, will be set back)");
	end();
	assert_string_equal(said, "0/eth0 set back to 0");
	assert_int_equal(host[HOST_FORWARDING4][ETH0], 0);
	assert_int_equal(host[HOST_FORWARDING4][ETH1], 0);
	assert_int_equal(access(path, F_OK), -1);
}

/* accept_ra first: in between the announced routes would be gone. */
static void test_ipv6(void **state)
{
	host[HOST_FORWARDING4][ETH0] = host[HOST_FORWARDING4][ETH1] = 1;
	host[HOST_ACCEPT_RA][ETH1] = 0;
	add_v6();
	start();
	assert_string_equal(order, "2/eth0=2 1/eth0=1 1/eth1=1 ");
	order[0] = '\0';
	end();
	assert_string_equal(order, "1/eth1=0 1/eth0=0 2/eth0=1 ");
}

static void test_what_is_on_is_left_alone(void **state)
{
	host[HOST_FORWARDING6][ETH0] = 1; /* a router that wants no announcements */
	host[HOST_ACCEPT_RA][ETH1] = 2;
	add_v6();
	start();
	assert_int_equal(host[HOST_ACCEPT_RA][ETH0], 1);
	end();
	assert_int_equal(host[HOST_FORWARDING6][ETH0], 1);
	assert_int_equal(host[HOST_FORWARDING6][ETH1], 0);
	assert_int_equal(host[HOST_ACCEPT_RA][ETH1], 2);
}

static void test_first_ipv6_service_by_reload(void **state)
{
	struct error error = { "" };

	start();
	assert_int_equal(host[HOST_FORWARDING6][ETH0], 0);
	add_v6();
	interfaces[ETH1].ifindex = 0; /* vanished, set when it is back */
	assert_int_equal(forwarding_follow(&daemon_, &error), 0);
	assert_int_equal(host[HOST_FORWARDING6][ETH0], 1);
	assert_int_equal(host[HOST_FORWARDING6][ETH1], 0);
	interfaces[ETH1].ifindex = 2;
	assert_int_equal(forwarding_set(&daemon_, &interfaces[ETH1], &error), 0);
	assert_int_equal(host[HOST_ACCEPT_RA][ETH1], 2);
	end();
	assert_int_equal(host[HOST_FORWARDING6][ETH1], 0);
	assert_int_equal(host[HOST_ACCEPT_RA][ETH1], 1);
}

static void test_somebody_switches_it_off(void **state)
{
	add_v6();
	start();
	for (enum host_switch which = HOST_FORWARDING4; which <= HOST_FORWARDING6; which++) {
		host[which][ETH0] = 0;
		/* About what was. */
		forwarding_event(&daemon_, 1, which == HOST_FORWARDING4 ? AF_INET : AF_INET6, true);
		assert_int_equal(host[which][ETH0], 0);
		forwarding_event(&daemon_, 1, which == HOST_FORWARDING4 ? AF_INET : AF_INET6,
				 false);
		assert_int_equal(host[which][ETH0], 1);
	}
	daemon_.stopping = true;
	host[HOST_FORWARDING6][ETH0] = 0;
	forwarding_event(&daemon_, 1, AF_INET6, false);
	assert_int_equal(host[HOST_FORWARDING6][ETH0], 0);
	end();
	assert_int_equal(host[HOST_FORWARDING6][ETH1], 0);
}

/* What a killed one has set stays remembered, and that of interfaces that are not weir's goes at once. */
static void test_killed(void **state)
{
	add_v6();
	start();
	start();
	assert_int_equal(daemon_.restore.count, 6);
	config.interface_count = 1;
	start();
	assert_int_equal(host[HOST_FORWARDING4][ETH1], 0);
	assert_int_equal(host[HOST_FORWARDING6][ETH1], 0);
	assert_int_equal(host[HOST_ACCEPT_RA][ETH1], 1);
	assert_int_equal(host[HOST_FORWARDING6][ETH0], 1);
	end();
	assert_int_equal(host[HOST_FORWARDING4][ETH0], 0);
	assert_int_equal(host[HOST_FORWARDING6][ETH0], 0);
	assert_int_equal(host[HOST_ACCEPT_RA][ETH0], 1);
}

static void test_vanished(void **state)
{
	add_v6();
	start();
	forwarding_vanished(&daemon_, &interfaces[ETH0]);
	assert_int_equal(daemon_.restore.count, 3);
	for (int which = 0; which < HOST_SWITCHES; which++)
		assert_null(restore_find(&daemon_.restore, which, "eth0"));
	end();
	assert_int_equal(host[HOST_FORWARDING6][ETH0], 1);
	assert_int_equal(host[HOST_FORWARDING6][ETH1], 0);
}

static void test_interface_without_ipv6(void **state)
{
	struct interface odd = interfaces[ETH0];
	struct config_interface tiny = { .name = "tiny" };
	struct error error = { "" };

	odd.config = &tiny;
	assert_int_equal(forwarding_set(&daemon_, &odd, &error), -ENOENT);
	assert_string_equal(error.text, "cannot read 0/tiny: No such file or directory");
}

static int make_directory(void **state)
{
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/state", directory);
	return 0;
}

static int remove_directory(void **state)
{
	return rmdir(directory);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ipv4_alone),
		TEST(ipv6),
		TEST(what_is_on_is_left_alone),
		TEST(first_ipv6_service_by_reload),
		TEST(somebody_switches_it_off),
		TEST(killed),
		TEST(vanished),
		TEST(interface_without_ipv6),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
