/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What keeps a function from being changed or inlined, by compiler. */

#if defined(__clang__)
#define KEEP __attribute__((noinline, used))
#else
#define KEEP __attribute__((noipa, used))
#endif

/* Per-CPU data as kernels place it. */
#define PERCPU __attribute__((section(".data..percpu")))

/* Without effect on a value, and the compiler does not know it. */
#define HIDE(value) __asm__ volatile("" : "+r"(value))
