/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Linked with two.c: what only both files together can tell. */

struct told_by_two;

struct shared {
	int value;
	struct shared *next;
	struct told_by_two *forward;
};

/* Another struct of this name stands in two.c: both must stay. */
struct ambiguous {
	int from_one;
};

struct holds_ambiguous_one {
	struct ambiguous *which;
};

__attribute__((noipa)) int first(struct shared *shared)
{
	return shared->value;
}

__attribute__((noipa)) int both(int value)
{
	return value;
}

struct shared shared_one;
struct holds_ambiguous_one holds_one;
