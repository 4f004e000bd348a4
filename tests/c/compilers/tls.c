/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A variable of each thread: its place is no address, and no VAR. */

#include "keep.h"

__thread int of_each_thread = 1;
static __thread long mine = 2;
PERCPU int of_each_cpu = 3;

KEEP long sum(void) { return of_each_thread + mine + of_each_cpu; }
