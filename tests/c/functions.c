/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Functions that keep their signature however much is optimised. */

#define KEEP __attribute__((noipa))

struct pair {
	int first, second;
};

KEEP int add(int a, int b)
{
	return a + b;
}

KEEP void nothing(void)
{
}

KEEP const char *text(const struct pair *pair, const char *fallback)
{
	return pair ? (const char *)pair : fallback;
}

KEEP static int hidden(struct pair *pair)
{
	struct local {
		int inside;
	} local = { pair->first };

	return local.inside;
}

KEEP int variadic(const char *format, ...)
{
	return *format;
}

KEEP int callback(int (*function)(int, void *), void *data)
{
	return function(1, data);
}

KEEP __attribute__((weak)) int weak(unsigned long value)
{
	return value != 0;
}

static inline int inlined(int value)
{
	return value * 2;
}

KEEP int caller(int value)
{
	static int remembered;

	{
		enum in_block { IN_BLOCK = 3 } block = IN_BLOCK;

		remembered += block;
	}
	return hidden(&(struct pair){ value, value }) + inlined(value) + remembered;
}

extern int declared_only(int);

KEEP long user(void)
{
	return declared_only(1);
}
