// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* A module of one object, without a function of its own. */
#include <linux/module.h>
#include <linux/netdevice.h>

struct alone {
	struct net_device_stats stats;
	struct net_device *device;
};

struct alone alone;

MODULE_DESCRIPTION("A module of the tests");
MODULE_LICENSE("GPL");
