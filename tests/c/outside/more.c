// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* A second object, with the struct that the first one hands out. */
#include <linux/kernel.h>
#include "outside.h"

static struct outside outside = { .mood = OUTSIDE_BAD };

struct outside *outside_get(unsigned int number)
{
	outside.number = number;
	return &outside;
}
