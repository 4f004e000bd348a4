/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* An object without types: adds one to its argument. */
#include <linux/linkage.h>

SYM_FUNC_START(outside_entry)
	leal 1(%rdi), %eax
	RET
SYM_FUNC_END(outside_entry)
