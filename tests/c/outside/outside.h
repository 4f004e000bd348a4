/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include <linux/list.h>
#include <linux/workqueue.h>

/* Types of the kernel as parts (their sizes must fit), as pointers, and types that no kernel has. */
struct outside_part {
	struct list_head list;
	struct work_struct work;
	struct task_struct *task;
};

struct outside {
	struct outside_part part;
	unsigned int number;
	enum outside_mood { OUTSIDE_GOOD = 3, OUTSIDE_BAD } mood;
};

struct outside *outside_get(unsigned int number);
int outside_entry(int number);
