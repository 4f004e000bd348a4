/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Parameters in registers, in pairs of them, on the stack, by reference, and nowhere. */

#include "keep.h"

struct one { int a; };
struct word { long a; };
struct pair { long a, b; };
struct mixed { int a; long b; };
struct wide { long a, b, c; };
struct real { double a, b; };
struct packed { char a; int b; } __attribute__((packed));
struct packed_wide { char a; long b, c, d; } __attribute__((packed));
struct holes { char a; long b; short c; } __attribute__((packed, aligned(2)));
struct bytes { char a[3]; };
union either { int a; float b; };
union wide_either { long a[3]; char b; };
typedef struct packed packed_t;
typedef struct pair pair_t;
typedef long (*function_t)(struct pair, int, ...);

KEEP int none(void) { return 0; }
KEEP int six(int a, long b, char c, short d, unsigned e, void *f)
{
	return a + b + c + d + e + (f != 0);
}
KEEP long nine(long a, long b, long c, long d, long e, long f, long g, long h, long i)
{
	return a + b + c + d + e + f + g + h + i;
}
KEEP long twelve(char a, char b, char c, char d, char e, char f, char g, char h, char i, short j,
		 _Bool k, long l)
{
	return a + b + c + d + e + f + g + h + i + j + k + l;
}
KEEP int by_value_one(struct one a, int b) { return a.a + b; }
KEEP long by_value_word(struct word a, long b) { return a.a + b; }
KEEP long by_value_pair(struct pair a, long b) { return a.a + a.b + b; }
KEEP long by_value_mixed(int x, struct mixed a, long b) { return x + a.a + a.b + b; }
KEEP long by_value_wide(struct wide a, long b) { return a.a + a.b + a.c + b; }
KEEP double by_value_real(struct real a, long b) { return a.a + a.b + b; }
KEEP long by_value_typedef(int x, const pair_t a, long b) { return x + a.a + a.b + b; }
KEEP int by_value_bytes(struct bytes a, int b) { return a.a[0] + a.a[2] + b; }
KEEP int by_value_union(union either a, int b) { return a.a + b; }
KEEP long by_value_wide_union(union wide_either a, int b) { return a.a[0] + a.a[2] + b; }
KEEP long pair_at_the_end(long a, long b, long c, long d, long e, struct pair f, long g)
{
	return a + b + c + d + e + f.a + f.b + g;
}
KEEP long first_member_only(struct pair a, long b) { return a.a + b; }
KEEP long second_member_only(struct pair a, long b) { return a.b + b; }
KEEP int packed_in_a_register(struct packed a, int b) { return a.a + a.b + b; }
KEEP long packed_on_the_stack(long a, long b, long c, long d, long e, long f, long g, long h,
			      struct packed_wide i, long j)
{
	return a + b + c + d + e + f + g + h + i.a + i.d + j;
}
KEEP long packed_typedef_on_the_stack(long a, long b, long c, long d, long e, long f, long g,
				      long h, packed_t i, long j)
{
	return a + b + c + d + e + f + g + h + i.a + i.b + j;
}
KEEP long holes_on_the_stack(long a, long b, long c, long d, long e, long f, long g, long h,
			     struct holes i)
{
	return a + b + c + d + e + f + g + h + i.a + i.b + i.c;
}
KEEP struct wide returns_wide(long a, long b) { return (struct wide){ a, b, a + b }; }
KEEP struct pair returns_pair(long a, long b) { return (struct pair){ a, b }; }
KEEP double floats(float a, double b, int c, double d) { return a + b + c + d; }
KEEP double only_floats(double a, float b) { return a + b; }
KEEP long double long_doubles(long double a, int b, long double c) { return b ? a : c; }
KEEP int unused(int a, long b, int c) { (void)b; return a + c; }
KEEP int all_unused(int a, struct pair b, void *c) { return 1; }
KEEP int changed(int a, int b)
{
	a = b * 2;
	HIDE(a);
	return a;
}
KEEP int swapped_late(int a, int b, int *c)
{
	int old = a;

	HIDE(old);
	a = *c;
	HIDE(a);
	*c = old;
	return a + b;
}
KEEP int variadic(const char *format, int first, ...)
{
	__builtin_va_list list;
	int sum = first;

	__builtin_va_start(list, first);
	while (*format++)
		sum += __builtin_va_arg(list, int);
	__builtin_va_end(list);
	return sum;
}
KEEP long long long_longs(int a, long long b, int c, unsigned long long d, int e)
{
	return a + b + c + d + e;
}
#ifdef __SIZEOF_INT128__
KEEP __int128 int128s(int a, __int128 b, long c, unsigned __int128 d) { return a + b + c + d; }
#endif
KEEP int arrays(int a[4], const char b[static 2], int (*c)[3]) { return a[0] + b[1] + (*c)[2]; }
KEEP long calls(function_t f, long (*g)(struct wide *, union either), struct pair *p)
{
	union either e = { 1 };

	return f(*p, 1, 2, 3) + g(0, e);
}
KEEP int old_style(a, b)
	int a;
	char *b;
{
	return a + (b != 0);
}
KEEP int _leading(int _Alignas_free, enum { FIRST, SECOND } e, const volatile int *restrict v)
{
	return _Alignas_free + e + *v;
}
