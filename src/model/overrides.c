// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/model/listen.h"
#include "src/model/overrides.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The service and backend that a change is about, and what is known of them. */
struct subject {
	const struct config_service *service;
	const struct config_backend *backend; /* of the file, or NULL */
	const struct override *added, *removed;
	char text[ENDPOINT_STRING_SIZE];
};

void overrides_free(struct overrides *overrides)
{
	free(overrides->entries);
	*overrides = (struct overrides){ .entries = NULL };
}

static struct config_backend *find_backend(const struct config_service *service,
					   const struct endpoint *endpoint)
{
	for (size_t i = 0; i < service->backend_count; i++)
		if (endpoint_equal(&service->backends[i].endpoint, endpoint))
			return &service->backends[i];
	return NULL;
}

static struct override *find_entry(const struct overrides *overrides, const char *service,
				   const struct endpoint *backend, enum override_key key)
{
	for (size_t i = 0; i < overrides->count; i++) {
		struct override *entry = &overrides->entries[i];

		if (entry->key == key && endpoint_equal(&entry->backend, backend) &&
		    !strcmp(entry->service, service))
			return entry;
	}
	return NULL;
}

static void remove_entry(struct overrides *overrides, struct override *entry)
{
	const size_t behind = overrides->count - (size_t)(entry - overrides->entries) - 1;

	memmove(entry, entry + 1, behind * sizeof(*entry));
	overrides->count--;
}

static void forget(struct overrides *overrides, const char *service, const struct endpoint *backend,
		   enum override_key key)
{
	struct override *entry = find_entry(overrides, service, backend, key);

	if (entry)
		remove_entry(overrides, entry);
}

/* Sets or replaces. */
static int remember(struct overrides *overrides, const struct override *change, struct error *error)
{
	struct override *entry, *entries;

	entry = find_entry(overrides, change->service, &change->backend, change->key);
	if (entry) {
		*entry = *change;
		return 0;
	}
	entries = reallocarray(overrides->entries, overrides->count + 1, sizeof(*entries));
	if (!entries)
		return error_set(error, -ENOMEM, "out of memory");
	overrides->entries = entries;
	entries[overrides->count++] = *change;
	return 0;
}

static struct override make_change(const struct subject *subject, const struct endpoint *backend,
				   enum override_key key, uint32_t value, uint32_t file_value)
{
	struct override change = {
		.backend = *backend,
		.key = key,
		.value = value,
		.file_value = file_value,
	};

	assert(subject->service);
	memcpy(change.service, subject->service->name, sizeof(change.service));
	return change;
}

static int find_subject(const struct overrides *overrides, const struct config *file,
			const char *service, const struct endpoint *backend, struct subject *ret,
			struct error *error)
{
	*ret = (struct subject){ .service = config_find_service(file, service) };
	endpoint_format_any(backend, ret->text);
	if (!ret->service)
		return error_set(error, -ENOENT,
				 "there is no service '%.63s'; 'weir service list' shows them",
				 service);
	ret->backend = find_backend(ret->service, backend);
	ret->added = find_entry(overrides, service, backend, OVERRIDE_ADDED);
	ret->removed = find_entry(overrides, service, backend, OVERRIDE_REMOVED);
	return 0;
}

/* The same, if the backend is there now. */
static int find_present(const struct overrides *overrides, const struct config *file,
			const char *service, const struct endpoint *backend, struct subject *ret,
			struct error *error)
{
	int r = find_subject(overrides, file, service, backend, ret, error);

	if (r < 0)
		return r;
	if (ret->added || (ret->backend && !ret->removed))
		return 0;
	return error_set(error, -ENOENT,
			 "service %s has no backend %s; 'weir backend list %s' shows them", service,
			 ret->text, service);
}

static int change_value(struct overrides *overrides, const struct subject *subject,
			const struct endpoint *backend, enum override_key key, uint32_t value,
			uint32_t file_value, struct error *error)
{
	struct override change;

	if (value == file_value) {
		forget(overrides, subject->service->name, backend, key);
		return 0;
	}
	change = make_change(subject, backend, key, value, file_value);
	return remember(overrides, &change, error);
}

int overrides_set_state(struct overrides *overrides, const struct config *file, const char *service,
			const struct endpoint *backend, enum backend_state state,
			struct error *error)
{
	struct subject subject;
	int r;

	r = find_present(overrides, file, service, backend, &subject, error);
	if (r < 0)
		return r;
	if (!backend_state_name(state))
		return error_set(error, -EINVAL,
				 "service %s: backend %s: unknown state; expected ready, drain or "
				 "down",
				 service, subject.text);
	return change_value(overrides, &subject, backend, OVERRIDE_STATE, state,
			    subject.backend ? subject.backend->state : BACKEND_READY, error);
}

static int check_weight(const struct subject *subject, uint32_t weight, struct error *error)
{
	if (weight <= CONFIG_WEIGHT_MOST)
		return 0;
	return error_set(error, -EINVAL,
			 "service %s: backend %s: weight %u is out of range; expected 0 to 256",
			 subject->service->name, subject->text, weight);
}

int overrides_set_weight(struct overrides *overrides, const struct config *file,
			 const char *service, const struct endpoint *backend, uint32_t weight,
			 struct error *error)
{
	struct subject subject;
	int r;

	r = find_present(overrides, file, service, backend, &subject, error);
	if (r >= 0)
		r = check_weight(&subject, weight, error);
	if (r < 0)
		return r;
	return change_value(overrides, &subject, backend, OVERRIDE_WEIGHT, weight,
			    subject.backend ? subject.backend->weight : subject.added->value,
			    error);
}

/* One of the file comes back. */
static int bring_back(struct overrides *overrides, const struct subject *subject,
		      const struct endpoint *backend, uint32_t weight, struct error *error)
{
	int r = change_value(overrides, subject, backend, OVERRIDE_WEIGHT, weight,
			     subject->backend->weight, error);

	if (r >= 0)
		forget(overrides, subject->service->name, backend, OVERRIDE_REMOVED);
	return r;
}

int overrides_add(struct overrides *overrides, const struct config *file, const char *service,
		  const struct endpoint *backend, uint32_t weight, struct error *error)
{
	struct override change;
	struct subject subject;
	int r;

	r = find_subject(overrides, file, service, backend, &subject, error);
	if (r >= 0)
		r = check_weight(&subject, weight, error);
	if (r < 0)
		return r;
	if (!backend->port && !service_is_wide(subject.service))
		return error_set(error, -EINVAL,
				 "service %s: backend %s has no port; expected ADDR:PORT", service,
				 subject.text);
	if (subject.added || (subject.backend && !subject.removed))
		return error_set(error, -EEXIST, "service %s has backend %s already", service,
				 subject.text);
	if (subject.backend)
		return bring_back(overrides, &subject, backend, weight, error);
	change = make_change(&subject, backend, OVERRIDE_ADDED, weight, 0);
	return remember(overrides, &change, error);
}

int overrides_remove(struct overrides *overrides, const struct config *file, const char *service,
		     const struct endpoint *backend, struct error *error)
{
	struct override change;
	struct subject subject;
	int r;

	r = find_present(overrides, file, service, backend, &subject, error);
	if (r < 0)
		return r;
	if (subject.backend) {
		change = make_change(&subject, backend, OVERRIDE_REMOVED, 0, 0);
		r = remember(overrides, &change, error);
		if (r < 0)
			return r;
	}
	forget(overrides, service, backend, OVERRIDE_ADDED);
	forget(overrides, service, backend, OVERRIDE_STATE);
	forget(overrides, service, backend, OVERRIDE_WEIGHT);
	return 0;
}

int overrides_reset(struct overrides *overrides, const struct config *file, const char *service,
		    const struct endpoint *backend, struct error *error)
{
	struct subject subject;
	int r;

	r = find_subject(overrides, file, service, backend, &subject, error);
	if (r < 0)
		return r;
	if (!subject.backend && !subject.added)
		return find_present(overrides, file, service, backend, &subject, error);
	forget(overrides, service, backend, OVERRIDE_STATE);
	forget(overrides, service, backend, OVERRIDE_WEIGHT);
	forget(overrides, service, backend, OVERRIDE_REMOVED);
	return 0;
}

static bool is_void(const struct overrides *overrides, const struct config *file,
		    const struct override *entry)
{
	const struct override *added;
	struct subject subject;

	if (find_subject(overrides, file, entry->service, &entry->backend, &subject, NULL) < 0)
		return true;
	added = subject.added;
	switch (entry->key) {
	case OVERRIDE_ADDED:
		return subject.backend;
	case OVERRIDE_REMOVED:
		return !subject.backend;
	case OVERRIDE_STATE:
		if (subject.backend)
			return entry->file_value != subject.backend->state;
		return !added || entry->file_value != BACKEND_READY;
	case OVERRIDE_WEIGHT:
		if (subject.backend)
			return entry->file_value != subject.backend->weight;
		return !added || entry->file_value != added->value;
	}
	return true;
}

void overrides_prune(struct overrides *overrides, const struct config *file)
{
	size_t i = 0;

	while (i < overrides->count)
		if (is_void(overrides, file, &overrides->entries[i]))
			remove_entry(overrides, &overrides->entries[i]);
		else
			i++;
}

static int apply_added(const struct override *entry, struct config_service *service)
{
	struct config_backend *backend;

	if (find_backend(service, &entry->backend))
		return 0;
	backend = config_service_add_backend(service);
	if (!backend)
		return -ENOMEM;
	backend->endpoint = entry->backend;
	backend->weight = entry->value;
	return 0;
}

static void apply_change(const struct override *entry, struct config_service *service)
{
	struct config_backend *backend = find_backend(service, &entry->backend);
	size_t behind;

	if (!backend)
		return;
	if (entry->key == OVERRIDE_STATE)
		backend->state = (enum backend_state)entry->value;
	else if (entry->key == OVERRIDE_WEIGHT)
		backend->weight = entry->value;
	if (entry->key != OVERRIDE_REMOVED)
		return;
	behind = service->backend_count - (size_t)(backend - service->backends) - 1;
	memmove(backend, backend + 1, behind * sizeof(*backend));
	service->backend_count--;
}

/* What was added comes first (@added): it may have a state and a weight. */
static int apply_entry(const struct override *entry, struct config_service *service, bool added)
{
	if ((entry->key == OVERRIDE_ADDED) != added)
		return 0;
	if (added)
		return apply_added(entry, service);
	apply_change(entry, service);
	return 0;
}

int overrides_apply_service(const struct overrides *overrides, struct config_service *service)
{
	int r = 0;

	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; r == 0 && i < overrides->count; i++)
			if (!strcmp(overrides->entries[i].service, service->name))
				r = apply_entry(&overrides->entries[i], service, pass == 0);
	return r;
}

static int compare_services(const void *left, const void *right)
{
	const struct config_service *const *a = left, *const *b = right;

	return strcmp((*a)->name, (*b)->name);
}

static int compare_to_service(const void *name, const void *service)
{
	const struct config_service *const *other = service;

	return strcmp(name, (*other)->name);
}

int overrides_apply(const struct overrides *overrides, struct config *config)
{
	_cleanup_free_ struct config_service **sorted = NULL;
	const size_t count = config->service_count;
	struct config_service **found;
	int r = 0;

	if (!overrides->count)
		return 0;
	sorted = calloc(count + 1, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		sorted[i] = &config->services[i];
	qsort(sorted, count, sizeof(*sorted), compare_services);
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; r == 0 && i < overrides->count; i++) {
			found = bsearch(overrides->entries[i].service, sorted, count,
					sizeof(*sorted), compare_to_service);
			if (found)
				r = apply_entry(&overrides->entries[i], *found, pass == 0);
		}
	}
	return r;
}
