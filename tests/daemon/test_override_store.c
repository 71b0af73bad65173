// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/override_store.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/allocation.h"
#include "tests/unit/unit.h"

static char directory[] = "/tmp/weir-overrides-XXXXXX";
static char path[64], broken[80], draft[80];

static int make_directory(void **state)
{
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/overrides.json", directory);
	snprintf(broken, sizeof(broken), "%s.broken", path);
	snprintf(draft, sizeof(draft), "%s.new", path);
	return 0;
}

static int remove_directory(void **state)
{
	return rmdir(directory);
}

static int remove_files(void **state)
{
	unlink(path);
	unlink(broken);
	return 0;
}

static void write_text(const char *name, const char *text)
{
	FILE *file = fopen(name, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static const char *read_text(const char *name)
{
	static char text[4096];
	FILE *file = fopen(name, "re");
	size_t length;

	assert_non_null(file);
	length = fread(text, 1, sizeof(text) - 1, file);
	text[length] = '\0';
	assert_int_equal(fclose(file), 0);
	return text;
}

static struct override change(const char *service, const char *backend, enum override_key key,
			      uint32_t value, uint32_t file_value)
{
	struct override entry = { .key = key, .value = value, .file_value = file_value };

	assert_true(strlen(service) < sizeof(entry.service));
	strcpy(entry.service, service);
	assert_int_equal(endpoint_parse(backend, &entry.backend), 0);
	return entry;
}

static void test_what_is_saved_is_loaded(void **state)
{
	struct override entries[] = {
		change("web", "192.168.178.11:8000", OVERRIDE_STATE, BACKEND_DRAIN, BACKEND_READY),
		change("web", "192.168.178.11:8000", OVERRIDE_WEIGHT, 256, 1),
		change("web", "[2001:db8::1]:65535", OVERRIDE_ADDED, 0, 0),
		change("web", "[2001:db8::1]:65535", OVERRIDE_STATE, BACKEND_READY, BACKEND_DOWN),
		change("dns", "10.0.0.1:53", OVERRIDE_REMOVED, 0, 0),
		change("a-name-of-63-bytes-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		       "10.0.0.1:1", OVERRIDE_WEIGHT, 0, 256),
	};
	const struct overrides saved = { entries, COUNT(entries) };
	struct overrides loaded;
	struct error error = { "" };
	struct stat status;
	mode_t mask = umask(0);

	assert_int_equal(override_store_save(path, &saved, &error), 0);
	umask(mask);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(access(draft, F_OK), -1);
	assert_int_equal(override_store_load(path, &loaded, &error), 0);
	assert_int_equal(loaded.count, saved.count);
	assert_memory_equal(loaded.entries, saved.entries, sizeof(entries));
	free(loaded.entries);
}

/* The format is that of the next version, too: what is on disk stays readable. */
static void test_format(void **state)
{
	struct override entries[] = {
		change("web", "10.0.0.1:80", OVERRIDE_STATE, BACKEND_DOWN, BACKEND_DRAIN),
		change("web", "10.0.0.2:80", OVERRIDE_ADDED, 7, 0),
		change("web", "10.0.0.3:80", OVERRIDE_REMOVED, 0, 0),
	};
	const struct overrides saved = { entries, COUNT(entries) };
	struct error error;

	assert_int_equal(override_store_save(path, &saved, &error), 0);
	assert_string_equal(read_text(path), "{\n \"version\": 1,\n \"overrides\": [\n  {\n"
					     "   \"service\": \"web\",\n"
					     "   \"backend\": \"10.0.0.1:80\",\n"
					     "   \"key\": \"state\",\n"
					     "   \"value\": \"down\",\n"
					     "   \"file_value\": \"drain\"\n  },\n  {\n"
					     "   \"service\": \"web\",\n"
					     "   \"backend\": \"10.0.0.2:80\",\n"
					     "   \"key\": \"added\",\n"
					     "   \"value\": 7\n  },\n  {\n"
					     "   \"service\": \"web\",\n"
					     "   \"backend\": \"10.0.0.3:80\",\n"
					     "   \"key\": \"removed\"\n  }\n ]\n}");
}

static void test_none(void **state)
{
	struct overrides loaded = { (void *)1, 5 };
	const struct overrides none = {};
	struct error error;

	assert_int_equal(override_store_load(path, &loaded, &error), 0);
	assert_int_equal(loaded.count, 0);
	assert_null(loaded.entries);
	assert_int_equal(override_store_save(path, &none, &error), 0);
	assert_int_equal(override_store_load(path, &loaded, &error), 0);
	assert_int_equal(loaded.count, 0);
	free(loaded.entries);
}

#define ENTRY(fields) "{\"version\": 1, \"overrides\": [{\"service\": \"web\", " fields "}]}"
#define BACKEND "\"backend\": \"10.0.0.1:80\", "
#define WEIGHT BACKEND "\"key\": \"weight\", "
#define STATE BACKEND "\"key\": \"state\", "

static const struct {
	const char *text;
	const char *message;
} nonsense[] = {
	{ "", "line 1: '[' or '{' expected" },
	{ "{", "line 1: " },
	{ "\n\nrubbish", "line 3: " },
	{ "[]", "it is not of version 1" },
	{ "{}", "it is not of version 1" },
	{ "{\"version\": 2, \"overrides\": []}", "it is not of version 1" },
	{ "{\"version\": \"1\", \"overrides\": []}", "it is not of version 1" },
	{ "{\"version\": 1}", "\"overrides\" is not a list" },
	{ "{\"version\": 1, \"overrides\": {}}", "\"overrides\" is not a list" },
	{ "{\"version\": 1, \"overrides\": []} {}", "end of file expected" },
	{ "{\"version\": 1, \"version\": 1, \"overrides\": []}", "duplicate" },
	{ "{\"version\": 1, \"overrides\": [3]}", "overrides[0]: \"service\" is not a name" },
	{ "{\"version\": 1, \"overrides\": [{\"service\": \"\"}]}", "\"service\" is not a name" },
	{ "{\"version\": 1, \"overrides\": [{\"service\": "
	  "\"a-name-of-64-bytes-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}]}",
	  "\"service\" is not a name" },
	{ ENTRY("\"key\": \"removed\""), "\"backend\" is not ADDRESS:PORT" },
	{ ENTRY("\"backend\": \"10.0.0.1\""), "\"backend\" is not ADDRESS:PORT" },
	{ ENTRY("\"backend\": \"10.0.0.1:0\""), "\"backend\" is not ADDRESS:PORT" },
	{ ENTRY(BACKEND "\"key\": \"mood\""), "\"key\" is not state" },
	{ ENTRY(BACKEND "\"key\": 1"), "\"key\" is not state" },
	{ ENTRY(WEIGHT "\"file_value\": 1"), "\"value\" is no weight" },
	{ ENTRY(WEIGHT "\"value\": 257, \"file_value\": 1"), "\"value\" is no weight" },
	{ ENTRY(WEIGHT "\"value\": -1, \"file_value\": 1"), "\"value\" is no weight" },
	{ ENTRY(WEIGHT "\"value\": 4294967297, \"file_value\": 1"), "\"value\" is no weight" },
	{ ENTRY(WEIGHT "\"value\": 1.0, \"file_value\": 1"), "\"value\" is no weight" },
	{ ENTRY(WEIGHT "\"value\": \"ready\", \"file_value\": 1"), "\"value\" is no weight" },
	{ ENTRY(WEIGHT "\"value\": 1"), "\"file_value\" is no weight" },
	{ ENTRY(STATE "\"value\": 1, \"file_value\": \"ready\""), "\"value\" is no state" },
	{ ENTRY(STATE "\"value\": \"gone\", \"file_value\": \"ready\""), "\"value\" is no state" },
	{ ENTRY(STATE "\"value\": \"down\", \"file_value\": \"gone\""),
	  "\"file_value\" is no state" },
	{ ENTRY(BACKEND "\"key\": \"added\""), "\"value\" is no weight" },
	{ ENTRY(STATE
		"\"value\": \"down\", \"file_value\": \"ready\"}, {\"service\": \"web\", " STATE
		"\"value\": \"drain\", \"file_value\": \"ready\""),
	  "overrides[1]: a second \"state\" of the same backend" },
};

/* Whatever stands there: it is told, kept aside, and the next start finds nothing. */
static void test_nonsense(void **state)
{
	for (size_t i = 0; i < COUNT(nonsense); i++) {
		struct overrides loaded = { (void *)1, 5 };
		struct error error = { "" };

		write_text(path, nonsense[i].text);
		assert_int_equal(override_store_load(path, &loaded, &error), -EBADMSG);
		if (!strstr(error.text, nonsense[i].message) || !strstr(error.text, broken))
			fail_msg("%s: %s", nonsense[i].text, error.text);
		assert_ptr_equal(loaded.entries, (void *)1);
		assert_int_equal(loaded.count, 5);
		assert_int_equal(access(path, F_OK), -1);
		assert_string_equal(read_text(broken), nonsense[i].text);
		assert_int_equal(override_store_load(path, &loaded, &error), 0);
		assert_int_equal(loaded.count, 0);
	}
}

/* A file that cannot be read stays where it is: it may be fine. */
static void test_unreadable(void **state)
{
	struct overrides loaded = { (void *)1, 5 };
	const struct overrides none = {};
	struct error error = { "" };

	assert_int_equal(override_store_load(directory, &loaded, &error), -EISDIR);
	assert_non_null(strstr(error.text, directory));
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(override_store_load(path, &loaded, &error), -EINVAL);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(access(broken, F_OK), -1);
	assert_int_equal(loaded.count, 5);
	assert_int_equal(override_store_save("/proc/weir/overrides", &none, &error), -ENOENT);
	assert_non_null(strstr(error.text, "/proc/weir/overrides"));
}

/* A name that somebody else has put in the way is replaced, not written through. */
static void test_a_draft_is_never_followed(void **state)
{
	const struct overrides none = {};
	char victim[80];
	struct error error;

	snprintf(victim, sizeof(victim), "%s/victim", directory);
	write_text(victim, "precious");
	assert_int_equal(symlink(victim, draft), 0);
	assert_int_equal(override_store_save(path, &none, &error), 0);
	assert_string_equal(read_text(victim), "precious");
	assert_int_equal(access(draft, F_OK), -1);
	unlink(victim);
}

/* What cannot be written leaves the old file whole. */
static void test_a_failed_save_changes_nothing(void **state)
{
	const struct overrides none = {};
	struct error error = { "" };

	write_text(path, "old");
	assert_int_equal(mkdir(draft, 0700), 0);
	assert_int_equal(override_store_save(path, &none, &error), -EISDIR);
	assert_string_equal(read_text(path), "old");
	rmdir(draft);
	unlink(path);
	/* The last step fails. */
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(override_store_save(path, &none, &error), -EISDIR);
	assert_int_equal(access(draft, F_OK), -1);
	rmdir(path);
}

static void test_no_memory(void **state)
{
	struct override entries[] = {
		change("web", "10.0.0.1:80", OVERRIDE_STATE, BACKEND_DOWN, BACKEND_DRAIN),
		change("web", "10.0.0.2:80", OVERRIDE_ADDED, 7, 0),
	};
	const struct overrides saved = { entries, COUNT(entries) };
	struct overrides loaded;
	struct error error;
	unsigned int nth;
	int err = -ENOMEM;

	json_set_alloc_funcs(malloc, free); /* those that can fail */
	for (nth = 1; nth < 1000 && err < 0; nth++) {
		allocation_fail_at(nth);
		err = override_store_save(path, &saved, &error);
		allocation_fail_at(0);
		assert_true(err == 0 || err == -ENOMEM);
		assert_true(err == 0 || access(path, F_OK) < 0);
	}
	assert_in_range(nth, 5, 999);
	for (nth = 1, err = -ENOMEM; nth < 1000 && err < 0; nth++) {
		allocation_fail_at(nth);
		err = override_store_load(path, &loaded, &error);
		allocation_fail_at(0);
		/* jansson may take it for an error of the text: then it is kept aside, not lost. */
		assert_true(err == 0 || err == -ENOMEM || err == -EBADMSG);
		if (err == -EBADMSG)
			assert_int_equal(rename(broken, path), 0);
		assert_int_equal(access(path, F_OK), 0);
	}
	assert_in_range(nth, 5, 999);
	assert_int_equal(loaded.count, 2);
	assert_memory_equal(loaded.entries, entries, sizeof(entries));
	free(loaded.entries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_what_is_saved_is_loaded, remove_files),
		cmocka_unit_test_teardown(test_format, remove_files),
		cmocka_unit_test_teardown(test_none, remove_files),
		cmocka_unit_test_teardown(test_nonsense, remove_files),
		cmocka_unit_test_teardown(test_unreadable, remove_files),
		cmocka_unit_test_teardown(test_a_draft_is_never_followed, remove_files),
		cmocka_unit_test_teardown(test_a_failed_save_changes_nothing, remove_files),
		cmocka_unit_test_teardown(test_no_memory, remove_files),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
