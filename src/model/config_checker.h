/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/model/config.h"

/* Of src/model/config_check*.c alone: who counts what they find and passes it on. */
struct checker {
	config_report_fn report;
	void *user;
	int found;
};

struct checker_path {
	char text[64];
};

__attribute__((format(printf, 1, 2))) struct checker_path checker_path(const char *format, ...);
__attribute__((format(printf, 3, 4))) void checker_tell(struct checker *checker, const char *path,
							const char *format, ...);

/* Why no packet can be sent to or from this address, or NULL if it can. */
const char *config_check_address(const struct weir_address *address);

/* How a service is called in a message; a name may lack its end. */
#define SERVICE "service %.63s"

/* I3 and the second half of I1; I2 and I4; I6. 0, or -ENOMEM. */
int config_check_doubles(const struct config *config, struct checker *checker);
/* I5, and what goes with mode ipip alone. */
void config_check_families(const struct config_service *service, size_t index,
			   struct checker *checker);
int config_check_overlaps(const struct config *config, struct checker *checker);
int config_check_access(const struct config *config, struct checker *checker);
/* Each listen address of a service for itself, and those that this host has, too. */
void config_check_listens(const struct config_service *service, size_t index,
			  struct checker *checker);
void config_check_host(const struct config *config, struct checker *checker);
void config_check_health(const struct config_service *service, size_t index,
			 struct checker *checker);
