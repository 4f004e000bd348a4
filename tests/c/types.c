/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The kinds of types, each in a few shapes. */

typedef unsigned int u32;
typedef u32 alias_of_u32;
typedef const volatile u32 *qualified;
typedef char *restrict restricted;

struct forward;
union forward_union;

struct node {
	struct node *next;
	struct forward *unknown;
	union forward_union *unknown_union;
	const char *name;
	volatile int counter;
	void *anything;
	const void *nothing;
};

struct shapes {
	_Bool flag;
	signed char sc;
	unsigned char uc;
	short s;
	unsigned short us;
	long l;
	unsigned long ul;
	long long ll;
	unsigned long long ull;
	__int128 wide;
	float f;
	double d;
	long double ld;
};

struct arrays {
	int one[3];
	int two[3][4];
	int three[2][3][5];
	int *pointers[7];
	int (*to_array)[9];
	char none[0];
	struct node nodes[2];
	u32 flexible[];
};

struct anonymous {
	struct {
		int a;
		union {
			int b;
			float c;
		};
	};
	struct {
		int d;
	} named;
	union {
		long e;
		char f[8];
	} either;
};

struct packed {
	char c;
	int i;
	long l;
} __attribute__((packed));

struct aligned {
	char c;
} __attribute__((aligned(64)));

struct empty {
};

union numbers {
	int i;
	float f;
	struct packed p;
};

typedef int vector __attribute__((vector_size(16)));
typedef int (*compare)(const void *, const void *);
typedef void (*variadic)(const char *, ...);
typedef struct node *(*maker)(int count, struct node *(*nested)(void));
typedef struct {
	int unnamed;
} typedefed;

struct operations {
	int (*open)(struct node *, int flags);
	void (*close)(struct node *);
	compare order;
	variadic log;
	maker make;
};

/* What nothing uses leaves no DWARF. */
alias_of_u32 use_alias;
qualified use_qualified;
restricted use_restricted;
struct node use_node;
struct shapes use_shapes;
extern struct arrays use_arrays;
struct arrays *use_arrays_pointer = &use_arrays;
struct anonymous use_anonymous;
struct packed use_packed;
struct aligned use_aligned;
struct empty use_empty;
union numbers use_numbers;
vector use_vector;
typedefed use_typedefed;
struct operations use_operations;
