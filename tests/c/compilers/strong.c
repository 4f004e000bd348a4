/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The third unit: what overrides the weak function of the second, and types that contradict. */

#include "keep.h"

struct big { char not_so_big; };
union declared_union { int u; };
struct unknown;

KEEP int overridden(int strong_parameter) { return strong_parameter * 2; }
KEEP int takes_big(struct big *b, union declared_union *u, struct unknown *n)
{
	return b->not_so_big + u->u + (n != 0);
}
