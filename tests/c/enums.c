/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Enumerations: signs, sizes, 64 bits, none with a name. */

enum plain { PLAIN_A, PLAIN_B = 5, PLAIN_C };
enum negative { NEGATIVE_A = -5, NEGATIVE_B = 3 };
enum top { TOP = 0xffffffffU };
enum lowest { LOWEST = -2147483647 - 1 };
enum wide { WIDE = 0x100000000ULL, WIDER = 0xffffffffffffffffULL };
enum wide_signed { WIDE_SIGNED = -0x100000000LL, WIDE_ONE = 1 };
enum small { SMALL = 1 } __attribute__((packed));
enum declared;

enum { NAMELESS_A, NAMELESS_B };
typedef enum { TYPEDEFED_A = 1 } typedefed;

struct user {
	enum plain plain;
	enum small small;
	enum { INSIDE_A, INSIDE_B } inside;
	enum declared *declared;
};

enum negative use_negative;
enum top use_top;
enum lowest use_lowest;
enum wide use_wide;
enum wide_signed use_wide_signed;
typedefed use_typedefed;
struct user use_user;
int use_nameless = NAMELESS_B;
