// SPDX-License-Identifier: GPL-2.0-only
#include "src/datapath/decap.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "decap.skel.h"
#include "src/datapath/internal.h"

struct decap {
	struct decap_bpf *skeleton;
	int link; /* bpf_link; negative: not attached */
};

void decap_close(struct decap *decap)
{
	if (!decap)
		return;
	if (decap->link >= 0)
		close(decap->link);
	decap_bpf__destroy(decap->skeleton);
	free(decap);
}

static int load(struct decap *decap, const struct weir_address *addresses, size_t count,
		struct error *error)
{
	const uint32_t taken = 1;
	int r;

	libbpf_set_print(NULL);
	decap->skeleton = decap_bpf__open();
	if (!decap->skeleton)
		return error_set(error, -errno, "cannot open the BPF object: %s", strerror(errno));
	r = decap_bpf__load(decap->skeleton);
	if (r)
		return error_set(error, r,
				 "cannot load the BPF program: %s; weir decap needs root, or "
				 "CAP_BPF + CAP_NET_ADMIN + CAP_PERFMON",
				 strerror(-r));
	for (size_t i = 0; i < count; i++) {
		r = bpf_map__update_elem(decap->skeleton->maps.addresses, &addresses[i],
					 sizeof(addresses[i]), &taken, sizeof(taken), BPF_ANY);
		if (r)
			return error_set(error, r,
					 "cannot take %zu addresses: %s; expected at most %d",
					 count, strerror(-r), WEIR_DECAP_ADDRESSES);
	}
	return 0;
}

int decap_open(const struct weir_address *addresses, size_t count, struct decap **ret,
	       struct error *error)
{
	struct decap *decap = calloc(1, sizeof(*decap));
	int r;

	if (!decap)
		return error_set(error, -ENOMEM, "out of memory");
	decap->link = -1;
	r = load(decap, addresses, count, error);
	if (r) {
		decap_close(decap);
		return r;
	}
	*ret = decap;
	return 0;
}

int decap_attach(struct decap *decap, uint32_t ifindex, bool native, struct error *error)
{
	return links_create(decap_fd(decap), ifindex, native, &decap->link, error);
}

int decap_fd(const struct decap *decap)
{
	return bpf_program__fd(decap->skeleton->progs.weir_decap);
}
