/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "src/model/config.h"

/*
 * Each key of the configuration file: its type, range, default and where its value is kept. The
 * reader, the writer, the list of differences and dist/weir.schema.json follow from these tables.
 */
enum config_type {
	CONFIG_TYPE_NUMBER,
	CONFIG_TYPE_SIZE,   /* a number, with k, M or G */
	CONFIG_TYPE_TIME,   /* milliseconds */
	CONFIG_TYPE_SWITCH, /* true, false */
	CONFIG_TYPE_WORD,   /* one of `words` */
	CONFIG_TYPE_TEXT,   /* char *, NULL: not given */
	CONFIG_TYPE_NAME,   /* char [size] */
	CONFIG_TYPE_MODE,   /* permission bits, octal */
	CONFIG_TYPE_PORTS,  /* first and last, two uint16_t */
	CONFIG_TYPE_ENDPOINT,
	CONFIG_TYPE_PREFIXES, /* struct prefix_list *, NULL: not given */
	CONFIG_TYPE_EXCEPT,   /* ports and ranges of them, of struct config_service */
	CONFIG_TYPE_MAPPING,  /* with `keys` */
	CONFIG_TYPE_LATER,    /* what the datapath does not serve yet */
	/* From here on of a shape of its own, which its reader knows. */
	CONFIG_TYPE_ADDRESSES,
	CONFIG_TYPE_LISTENS,
	CONFIG_TYPE_PROTOCOLS,
	CONFIG_TYPE_INTERFACES,
	CONFIG_TYPE_BACKENDS,
	CONFIG_TYPE_SERVICES,
	CONFIG_TYPE_DEFAULTS,
	CONFIG_TYPE_TIMEOUTS, /* of all services */
};

struct config_word {
	const char *name; /* NULL ends the list */
	int value;        /* CONFIG_WORD_LATER: not supported yet */
};

#define CONFIG_WORD_LATER (-1)

struct config_key {
	const char *name; /* NULL ends the list */
	enum config_type type;
	bool required;
	bool own;              /* of a service: does not belong into `defaults` */
	uint16_t offset, size; /* of the value in what the table describes */
	uint64_t least, most;
	const struct config_word *words;
	const struct config_key *keys;
	const char *fallback; /* the default, as the file would have it; NULL: none */
	const char *help;
};

extern const struct config_key config_root_keys[];      /* struct config */
extern const struct config_key config_interface_keys[]; /* struct config_interface */
extern const struct config_key config_service_keys[];   /* struct config_service */
extern const struct config_key config_timeout_keys[];   /* struct config_timeouts */
extern const struct config_key config_backend_keys[];   /* struct config_backend */
extern const struct config_key config_health_keys[];    /* struct config_health */

/* NULL: there is none. */
const struct config_key *config_key_find(const struct config_key *keys, const char *name);
/* The key that @name was probably meant to be, or NULL. */
const char *config_key_nearest(const struct config_key *keys, const char *name);

/*
 * Reads @text as the value of @key into @object, what the key's table describes. @plain: it has no
 * quotes. -EINVAL (@error says what is wrong and what was expected), -ENOMEM. For types below
 * CONFIG_TYPE_PREFIXES.
 */
int config_value_read(const struct config_key *key, const char *text, bool plain, void *object,
		      struct error *error);
/* As parse_time() reads it: the largest units first, each at most once. Returns @buffer. */
#define CONFIG_TIME_SIZE 48
char *config_time_format(uint64_t time, char buffer[static CONFIG_TIME_SIZE]);

/* Whether there is a value, or the key is left out: a text that is NULL, a zero that stands for it. */
bool config_value_given(const struct config_key *key, const void *object);
/* Writes it as the file would have it. For types below CONFIG_TYPE_MAPPING. */
void config_value_write(const struct config_key *key, const void *object, FILE *out);
/* The addresses that a service listens on, as the value of `listen`, and those of `snat`. */
void config_listens_write(const struct config_service *service, FILE *out);
void config_addresses_write(const struct config_snat *snat, FILE *out);
/* What @key takes, for messages; @buffer may be used. */
const char *config_value_expected(const struct config_key *key, char buffer[static 256]);
