/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Types whose DWARF depends on compiler, version and byte order. */

#include "keep.h"

typedef unsigned int u32;
typedef unsigned long long u64;

struct declared;
union declared_union;
enum declared_enum;

enum small { SMALL_A = 1, SMALL_B } __attribute__((packed));
enum negative { NEGATIVE = -1, ZERO, POSITIVE };
enum top { TOP = 0xffffffffu };
enum wide { WIDE = 1ull << 40, WIDER = ~0ull };
enum wide_negative { WIDE_LOW = -(1ll << 40), WIDE_HIGH = 1ll << 40 };

struct bits {
	u32 a:1, b:2, c:29;
	u32 full:32;
	u64 d:40;
	u64 e:24;
	_Bool f:1;
	signed char g:4;
	enum small h:2;
	short i:9;
	u32 :0;
	u32 j:7;
	int k;
	u64 l:33;
};
struct bits_packed {
	char a;
	u32 b:31;
	u64 c:61;
	u32 d:4;
	short e;
	u32 f:20;
} __attribute__((packed));
struct bits_nested {
	int before;
	union {
		struct { u32 low:4, high:28; };
		u32 all;
		u64 part:50;
	};
	struct { char x:3; char y:5; } z[2];
};

struct operations {
	int (*open)(struct declared *, enum declared_enum *, u32 flags);
	void (*log)(const char *format, ...);
	struct operations *(*clone)(const struct operations *);
	int (*no_prototype)();
	void (*(*get)(int))(long);
};

struct arrays {
	int matrix[2][3][4];
	int none[0];
	struct bits of_struct[3];
	const char *names[5];
	void (*table[2])(void);
	int last[];
};

struct everything {
	struct declared *p;
	union declared_union *u;
	enum declared_enum *e;
	struct bits bits;
	struct bits_packed bits_packed;
	struct bits_nested bits_nested;
	struct operations *operations;
	struct arrays *arrays;
	enum small small;
	enum negative negative;
	enum top top;
	enum wide wide;
	enum wide_negative wide_negative;
	enum { INSIDE = 3 } inside;
	const volatile u64 qualified;
	char *restrict restricted;
	long double ld;
	double d;
	float f;
	_Bool flag;
	unsigned char uc;
	signed char sc;
	char c;
	__attribute__((vector_size(16))) int vector;
#ifdef __SIZEOF_INT128__
	__int128 i128;
	unsigned __int128 u128;
#endif
	__typeof__(sizeof 0) size;
	__WCHAR_TYPE__ wide_char;
};

struct everything everything;

KEEP u32 scopes(u32 n)
{
	struct local { u32 a[3]; } local = { { n } };
	typedef struct local local_t;
	local_t *p = &local;
	int vla[n + 1];

	{
		struct local { long b; } inner = { n };

		HIDE(inner.b);
		n += inner.b;
	}
	vla[n & 1] = 1;
	HIDE(p);
	return p->a[0] + vla[0];
}
