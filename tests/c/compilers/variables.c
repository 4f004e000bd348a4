/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Variables: per-CPU and others, of every linkage, and those that do not count. */

#include "keep.h"

struct state { long count; struct state *next; char name[5]; };
struct flexible { int n; int values[]; };
struct nothing { };

PERCPU int percpu_global = 1;
PERCPU static long percpu_static = 2;
PERCPU struct state percpu_struct = { 3 };
PERCPU char percpu_array[3][7] = { { 1 } };
PERCPU struct state *percpu_pointer = &percpu_struct;
PERCPU int (*percpu_function)(int) = (int (*)(int))1;
PERCPU volatile unsigned long percpu_qualified = 4;
PERCPU struct flexible percpu_flexible = { 2 };
PERCPU struct nothing percpu_nothing = { };
PERCPU __attribute__((weak)) short percpu_weak = 5;
PERCPU int __UNIQUE_ID_percpu = 6;
PERCPU struct { int a:3; } percpu_anonymous = { 1 };
extern int percpu_declared_first;
PERCPU int percpu_declared_first = 7;
extern PERCPU int percpu_elsewhere;
PERCPU __attribute__((aligned(64))) long percpu_aligned = 8;
extern int percpu_alias __attribute__((alias("percpu_global")));

int global = 1;
int global_zero;
static int local_static = 2;
const char text[] = "text";
static const struct state table[2] = { { 1 }, { 2 } };
int tentative;
int tentative;
__attribute__((weak)) int weak_one = 1;

KEEP long use_variables(void)
{
	static int inside;
	static PERCPU int percpu_inside = 1;

	inside += percpu_inside++;
	local_static += percpu_static++;
	return inside + local_static + table[inside & 1].count +
	       percpu_elsewhere + percpu_qualified + percpu_alias;
}
