// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/config_checker.h"

#include <inttypes.h>
#include <string.h>

#include "src/model/listen.h"

#define TYPE(type) (1U << HEALTH_##type)
#define REQUESTS (TYPE(HTTP) | TYPE(HTTPS))

/* What is wrong with @text as a part of a request, where a line break would start another header. */
static const char *wrong_in_request(const char *text, bool blanks)
{
	if (!*text)
		return "is empty";
	if (strlen(text) > CONFIG_TEXT_MOST)
		return "is longer than 4096 characters";
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == '\x7f' || (*text == ' ' && !blanks))
			return blanks ? "has a control character in it" :
					"has a blank or control character in it";
	return NULL;
}

static const char *wrong_path(const char *path)
{
	return path[0] == '/' ? wrong_in_request(path, false) : "does not begin with '/'";
}

static const char *wrong_host(const char *host)
{
	return wrong_in_request(host, false);
}

static const char *wrong_text(const char *text)
{
	return wrong_in_request(text, true);
}

static void check_texts(const struct config_service *service, size_t index, struct checker *checker)
{
	const struct config_health *health = &service->health;
	const struct {
		const char *key, *value;
		const char *(*wrong)(const char *);
	} rows[] = {
		{ "path", health->path, wrong_path },
		{ "host", health->host, wrong_host },
		{ "body", health->body, wrong_text },
		{ "command", health->command, wrong_text },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *why = rows[i].value ? rows[i].wrong(rows[i].value) : NULL;

		if (why)
			checker_tell(
				checker,
				checker_path("services[%zu].health.%s", index, rows[i].key).text,
				SERVICE ": health.%s: '%.80s' %s", service->name, rows[i].key,
				rows[i].value, why);
	}
}

static void check_fit(const struct config_service *service, size_t index, struct checker *checker)
{
	const struct config_health *health = &service->health;
	const struct {
		const char *key;
		bool given;
		unsigned int types;
		const char *expected;
	} rows[] = {
		{ "port", health->port, REQUESTS | TYPE(TCP) | TYPE(EXEC),
		  "tcp, http, https or exec" },
		{ "status", health->status, REQUESTS, "http or https" },
		{ "path", health->path, REQUESTS, "http or https" },
		{ "host", health->host, REQUESTS, "http or https" },
		{ "body", health->body, REQUESTS, "http or https" },
		{ "command", health->command, TYPE(EXEC), "exec" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].given && !(rows[i].types & 1U << health->type))
			checker_tell(
				checker,
				checker_path("services[%zu].health.%s", index, rows[i].key).text,
				SERVICE ": health.%s: does not fit type %s; expected type %s",
				service->name, rows[i].key, health_type_name(health->type),
				rows[i].expected);
	if (health->type == HEALTH_EXEC && !health->command)
		checker_tell(checker, checker_path("services[%zu].health", index).text,
			     SERVICE ": health.command: missing; type exec needs one",
			     service->name);
}

/* A port that is each client's own is none to check. */
static void check_port(const struct config_service *service, size_t index, struct checker *checker)
{
	const enum health_type type = service->health.type;
	char text[ENDPOINT_STRING_SIZE];

	if (service->health.port || type == HEALTH_ICMP || !service_is_wide(service))
		return;
	for (size_t i = 0; i < service->backend_count; i++) {
		if (service->backends[i].endpoint.port)
			continue;
		checker_tell(checker, checker_path("services[%zu].health", index).text,
			     SERVICE ": health.port: missing; backend %s has no port of its own to "
				     "check by %s; name one, or use type icmp",
			     service->name,
			     endpoint_format_any(&service->backends[i].endpoint, text),
			     health_type_name(type));
		return;
	}
}

static void check_numbers(const struct config_service *service, size_t index,
			  struct checker *checker)
{
	const struct config_health *health = &service->health;
	const struct {
		const char *key;
		uint32_t value, least, most;
		const char *unit, *expected;
	} rows[] = {
		{ "interval", health->interval, CONFIG_INTERVAL_LEAST, CONFIG_INTERVAL_MOST, "ms",
		  "100ms to 24h" },
		{ "timeout", health->timeout, CONFIG_CHECK_TIMEOUT_LEAST, CONFIG_INTERVAL_MOST,
		  "ms", "10ms to the interval" },
		{ "rise", health->rise, 1, CONFIG_ROW_MOST, "", "1 to 1000" },
		{ "fall", health->fall, 1, CONFIG_ROW_MOST, "", "1 to 1000" },
		{ "status", health->status ? health->status : 200, 100, 599, "", "100 to 599" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].value < rows[i].least || rows[i].value > rows[i].most)
			checker_tell(
				checker,
				checker_path("services[%zu].health.%s", index, rows[i].key).text,
				SERVICE ": health.%s: %" PRIu32 "%s is out of range; expected %s",
				service->name, rows[i].key, rows[i].value, rows[i].unit,
				rows[i].expected);
	if (health->timeout > health->interval)
		checker_tell(checker, checker_path("services[%zu].health.timeout", index).text,
			     SERVICE ": health.timeout: %" PRIu32
				     "ms is longer than the interval, %" PRIu32
				     "ms; expected at most that",
			     service->name, health->timeout, health->interval);
}

void config_check_health(const struct config_service *service, size_t index,
			 struct checker *checker)
{
	if (!health_type_name(service->health.type)) {
		checker_tell(checker, checker_path("services[%zu].health.type", index).text,
			     SERVICE ": health.type: unknown type", service->name);
		return;
	}
	check_fit(service, index, checker);
	if (service->health.type == HEALTH_NONE)
		return;
	check_port(service, index, checker);
	check_numbers(service, index, checker);
	check_texts(service, index, checker);
}
