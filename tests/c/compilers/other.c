/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The second unit: the same names again, equal or not. */

#include "keep.h"

struct declared { int defined_here; };
struct point { int x, y, z; };
struct big { long a[6]; };
struct state { long count; struct state *next; char name[5]; };

PERCPU static long percpu_static = 12;
PERCPU int percpu_elsewhere = 13;
static int local_static = 3;

int out_count;

KEEP void out(long value) { out_count += value; }
__attribute__((cold, noreturn)) void fatal(const char *why, int code)
{
	for (;;)
		out(code + (why != 0));
}
KEEP int declared(int *p) { return *p; }

/* One name, two static functions: nobody can tell them apart. */
static __attribute__((noinline)) int isra(int only) { out(only); return only + 1; }

__attribute__((weak)) int overridden(int weak_parameter) { return weak_parameter; }

long other(struct declared *d, struct state *s)
{
	percpu_static++;
	return d->defined_here + s->count + isra(1) + isra((int)s->count) + local_static++ +
	       overridden(3);
}
