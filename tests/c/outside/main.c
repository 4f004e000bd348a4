// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * A module with functions for BPF programs: one returns a struct of the module, the other takes one
 * of the kernel, which reaches struct net, and by that a struct that the kernel's own objects only
 * declare, and this module defines.
 */
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/version.h>
#include <net/sock.h>
#include "outside.h"

DEFINE_PER_CPU(struct outside_part, outside_of_cpu);

/* struct net points to it. */
struct netns_ipvs {
	unsigned int of_the_module;
};
static struct netns_ipvs ipvs = { .of_the_module = 11 };

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
__bpf_kfunc_start_defs();
__bpf_kfunc struct outside *bpf_outside(unsigned int number)
{
	return outside_get(outside_entry(number));
}

__bpf_kfunc unsigned int bpf_outside_port(struct sock *sock)
{
	return sock->sk_num + READ_ONCE(ipvs.of_the_module);
}
__bpf_kfunc_end_defs();

BTF_KFUNCS_START(functions)
BTF_ID_FLAGS(func, bpf_outside)
BTF_ID_FLAGS(func, bpf_outside_port)
BTF_KFUNCS_END(functions)

static const struct btf_kfunc_id_set set = { .owner = THIS_MODULE, .set = &functions };

static int __init outside_init(void)
{
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_XDP, &set);
}
#else
static int __init outside_init(void)
{
	return !outside_get(outside_entry(READ_ONCE(ipvs.of_the_module)));
}
#endif
module_init(outside_init);

static void __exit outside_exit(void)
{
}
module_exit(outside_exit);

MODULE_DESCRIPTION("A module of the tests");
MODULE_LICENSE("GPL");
