/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Structs whose layout is hard to show or to declare again: bitfields, holes, packed, aligned. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef u64 stamp_t;
typedef int (*compare_t)(const void *, const void *, ...);
typedef u32 triple_t[3];

enum colour { RED, GREEN = 5, BLUE };
enum tiny { TINY_A, TINY_B } __attribute__((packed));
enum huge { HUGE_A = 1ULL << 40, HUGE_B };
enum { LONELY = 7 };
typedef enum { ON, OFF } power_t;

struct never_defined;
union neither_this;

struct plain {
	struct plain *next, **prev;
	const char *name;
	char *const fixed;
	const char *const *words;
	volatile u32 seen;
	u8 tail[];
};

struct bits {
	u32 a : 1, b : 3, : 5, c : 7;
	u8 d;
	u32 e : 30;
	u32 f : 4;
	u64 g : 40;
	u64 h : 24;
	_Bool i : 1;
	enum colour j : 8;
	u32 : 0;
	u32 k : 9;
};

struct holes {
	u8 a;
	u64 b;
	u8 c;
	u16 d;
	u8 e;
};

struct packed {
	u8 a;
	u64 b;
	u16 c;
	struct holes d;
	u32 e : 3;
	u32 f : 31;
} __attribute__((packed));

struct packed_bytes {
	u8 a;
	u64 b;
	u16 c;
} __attribute__((packed));

struct inside {
	u16 before;
	struct packed packed;
	struct holes holes;
};

struct aligned {
	u32 a;
	u32 b __attribute__((aligned(64)));
	u8 c;
	u64 d __attribute__((aligned(32)));
} __attribute__((aligned(128)));

struct packed_and_aligned {
	u8 a;
	u32 b;
} __attribute__((packed, aligned(16)));

struct lines {
	u8 a[60];
	u8 b;
	u64 c[20];
	struct bits d;
	struct aligned e;
	u32 f;
};

struct nested {
	int a;
	union {
		struct {
			u8 b;
			u64 c;
			union {
				u16 d;
				u32 e;
			} deep;
		};
		struct {
			u32 f : 4;
			u8 g;
		} named[2];
		u64 h[9];
		const void *i;
	};
	struct {
		int x, y;
	} *pointed;
	struct {
		u8 p;
	} array[3];
	enum { LOCAL_A, LOCAL_B } state, before;
	power_t power;
};

struct functions {
	void (*none)(void);
	int (*some)(struct never_defined *, const char *, ...);
	union neither_this *(*returns)(void *, int (*)(u32), u8[4]);
	compare_t compare;
	int (*table[4])(triple_t *);
	stamp_t (*deep)(void (*)(struct functions *));
	triple_t triples[2];
	u8 grid[3][5];
};

struct numbers {
	float f;
	double d;
	long double l;
	__int128 wide;
	_Bool truth;
	enum tiny tiny;
	enum huge huge;
	long long ll;
};

struct empty {
};

struct with_empty {
	struct empty empty;
	u8 zero[0];
	u32 a;
	struct empty last;
};

union mixed {
	u8 a;
	u64 b;
	struct plain *c;
	struct {
		u32 d, e;
	};
};

union roomy {
	u8 a;
	u32 b;
} __attribute__((aligned(32)));

struct rooms {
	union roomy first;
	union {
		u16 c;
	} __attribute__((aligned(16))) second;
	u8 d;
};

typedef struct {
	int counter;
} counter_t;

struct uses_typedef {
	counter_t a;
	const counter_t b;
	counter_t *c;
};

struct plain v_plain;
struct bits v_bits;
struct packed_bytes v_packed_bytes;
struct inside v_inside;
struct packed_and_aligned v_packed_and_aligned;
struct lines v_lines;
struct nested v_nested;
struct functions v_functions;
struct numbers v_numbers;
struct with_empty v_with_empty;
union mixed v_mixed;
struct rooms v_rooms;
struct uses_typedef v_uses_typedef;
