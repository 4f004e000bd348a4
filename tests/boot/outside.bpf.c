/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Call a function of the module of tests/c/outside, and read the struct that it returns. Offset and
 * value come from the module's BTF: the compiler knows one member only, at another offset, and
 * another value of the enumerator.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

enum outside_mood { OUTSIDE_BAD = 100 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct outside {
	unsigned int number;
};
#pragma clang attribute pop

extern struct outside *bpf_outside(unsigned int number) __ksym;

/* Read by init.c. */
struct {
	unsigned int number, bad;
} out;

SEC("xdp")
int probe(struct xdp_md *context)
{
	struct outside *outside = bpf_outside(6);

	out.number = outside->number;
	out.bad = bpf_core_enum_value(enum outside_mood, OUTSIDE_BAD);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
