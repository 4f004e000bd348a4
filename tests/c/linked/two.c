/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Linked with one.c. */

struct told_by_two {
	long here;
};

struct shared {
	int value;
	struct shared *next;
	struct told_by_two *forward;
};

struct ambiguous {
	char from_two[3];
};

struct holds_ambiguous_two {
	struct ambiguous *which;
};

extern int both(int value);

__attribute__((noipa)) int second(struct shared *shared, struct told_by_two *told)
{
	return shared->value + both((int)told->here);
}

struct shared shared_two;
struct told_by_two told;
struct holds_ambiguous_two holds_two;
