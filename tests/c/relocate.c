/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What libbpf makes of the CO-RE relocations of a BPF program for another kernel than the one that
 * runs: relocate PROGRAM BTF. All that it says goes to standard output, the last line is "load" and an
 * error number, 0 when the running kernel has taken the program.
 */
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>

static int said(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level;
	return vprintf(format, arguments);
}

int main(int count, char **words)
{
	LIBBPF_OPTS(bpf_object_open_opts, options);
	struct bpf_object *object;

	if (count != 3)
		return 2;
	options.btf_custom_path = words[2];
	libbpf_set_print(said);
	object = bpf_object__open_file(words[1], &options);
	if (!object)
		return 2;
	printf("\nload %d\n", bpf_object__load(object));
	bpf_object__close(object);
	return 0;
}
