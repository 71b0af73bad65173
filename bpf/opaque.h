/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * Hides from the compiler where @pointer comes from. From what it knows it would leave out tests, or compute
 * before them, and the verifier wants to see them (clang 16, clang 19).
 */
static inline __attribute__((always_inline)) void *opaque(const void *pointer)
{
	asm volatile("" : "+r"(pointer));
	return (void *)pointer;
}
