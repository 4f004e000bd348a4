/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Annotations for BPF on everything that takes one, and pointers with tags. */

#include "keep.h"

#define DECL(name) __attribute__((btf_decl_tag(name)))
#define TYPE(name) __attribute__((btf_type_tag(name)))

struct DECL("whole") DECL("second") tagged {
	int plain;
	int first DECL("member");
	int bits : 3 DECL("bits") DECL("twice");
	int TYPE("user") *pointer;
	struct tagged TYPE("rcu") TYPE("user") *chain DECL("both");
	int TYPE("a") *TYPE("b") *TYPE("c") *deep;
	const int TYPE("user") *volatile qualified;
	int (TYPE("fn") *call)(void TYPE("user") *);
};
union DECL("whole union") either { int a DECL("in union"); long b; };
typedef struct tagged tagged_t DECL("a typedef");
typedef int TYPE("user") *user_pointer;

PERCPU int percpu_tagged DECL("a variable") = 1;
PERCPU int TYPE("percpu") *percpu_tagged_pointer = 0;
PERCPU tagged_t percpu_typedef = { 1 };
union either use_either;

KEEP DECL("a function") DECL("again") int
function(int plain, int TYPE("user") *pointer DECL("a parameter"), int last DECL("last"))
{
	return plain + *pointer + last;
}

extern int declared(user_pointer p) DECL("declared");

KEEP int calls_declared(user_pointer p)
{
	return declared(p);
}
