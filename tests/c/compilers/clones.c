/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Functions whose callers are all known: the compiler drops, replaces and splits. */

#include "keep.h"

struct point { int x, y, z; };
struct big { long a[6]; };

extern void out(long);
extern void fatal(const char *, int) __attribute__((cold, noreturn));

#define LOCAL static __attribute__((noinline))

/* Only one member is read: gcc passes that member, clang may pass values. */
LOCAL int isra(struct point *p, int k) { return p->y * k + 3; }
/* One parameter is the same in all calls. */
LOCAL int constprop(int a, int mode, int b)
{
	int i, sum = 0;

	for (i = 0; i < a; i++)
		sum += mode == 7 ? b * i : b << (i + mode);
	out(sum);
	return sum;
}
LOCAL long both(struct big *p, int mode, long x) { return mode ? p->a[3] + x : x; }
/* A parameter that nothing reads is dropped. */
LOCAL int unused_first(int unused, int a, int b) { out(a); return a - b; }
LOCAL int unused_middle(int a, int unused, int b) { out(a + b); return a - b; }
LOCAL int unused_last(int a, int b, int unused) { out(a * b); return a - b; }
/* The result is never used. */
LOCAL int no_result(int a, int b) { out(a + b); return a ^ b; }
/* By value, one member used. */
LOCAL long by_value(struct big b, int i) { out(i); return b.a[2] + i; }
LOCAL int pair_by_value(struct point p, int i) { out(i); return p.y + i; }

/* Rarely taken branches go to .cold; the head may be inlined and the rest be .part. */
static int split(struct point *p, int k)
{
	if (!p)
		return 0;
	out(p->x);
	out(p->y);
	out(p->z);
	out(p->x * k);
	out(p->y * k);
	out(p->z * k);
	return 1;
}

static inline int inlined(int a, int b) { return a * 31 + b; }

KEEP int with_cold(int a, struct point *p)
{
	if (__builtin_expect(a > 1000, 0)) {
		out(a);
		fatal("too large", a);
	}
	return inlined(a, p->x);
}

int use(struct point *p, struct big *b, int n, int (**address)(int, int, int))
{
	int r;

	r = isra(p, n) + isra(p + 1, n + 1);
	r += constprop(n, 7, r) + constprop(n + 1, 7, n);
	r += both(b, 1, n) + both(b + 1, 1, r);
	r += unused_first(1, n, r) + unused_first(2, r, n);
	r += unused_middle(n, 1, r) + unused_middle(r, 2, n);
	r += unused_last(n, r, 1) + unused_last(r, n, 2);
	no_result(n, r);
	no_result(r, n);
	r += by_value(*b, n) + by_value(b[1], r);
	r += pair_by_value(*p, n) + pair_by_value(p[1], r);
	r += split(p, n) + split(p + 1, r);
	return r + with_cold(n, p);
}

int use_again(struct point *p, int n)
{
	return split(p, n) + split(p + 2, 3) + inlined(n, 3);
}
