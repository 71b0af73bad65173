// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/packet/harness.h"

/* The grace period between two walks, with membarrier(2) and on kernels that refuse it. */

static void with_membarrier(void **state)
{
	assert_int_equal(datapath_grace(), 0);
}

/* As a kernel with nohz_full answers. For the rest of this process: the last test. */
static void refuse_membarrier(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

static void without_membarrier(void **state)
{
	refuse_membarrier();
	assert_int_equal(syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(datapath_grace(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_membarrier),
		cmocka_unit_test(without_membarrier),
	};

	return packet_tests(tests);
}
