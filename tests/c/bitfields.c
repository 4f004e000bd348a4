/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Bitfields in every position that a compiler of C makes. */

typedef unsigned int u32;
enum color { RED, GREEN, BLUE };

struct plain {
	int a:1;
	int b:31;
	unsigned int c:32;
	unsigned char d:3;
	unsigned char e:5;
	_Bool f:1;
	enum color g:2;
	u32 h:7;
	const u32 i:9;
	int normal;
	long j:40;
	unsigned long k:24;
	int after;
};

struct gap {
	int a:3;
	int :0;
	int b:3;
	int :5;
	int c:3;
};

struct packed {
	char c;
	int a:7;
	long b:33;
	int d:12;
} __attribute__((packed));

union mixed {
	int a:5;
	unsigned char b:2;
	long c;
};

struct nested {
	struct {
		unsigned int x:4;
		unsigned int y:4;
	};
	int z;
};

struct plain use_plain;
struct gap use_gap;
struct packed use_packed;
union mixed use_mixed;
struct nested use_nested;
