/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * instructions BTF OBJECT - what libbpf makes of the CO-RE relocations of an object, against the types of a
 * file: for each program a line with its name and its instructions in hex, as they would be loaded.
 * Nothing is loaded: the system call is answered here, so that it takes neither a kernel nor rights.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct bpf_object *object;

static void show(const union bpf_attr *attr)
{
	const unsigned char *bytes = (const unsigned char *)(unsigned long)attr->insns;

	/* libbpf also loads programs of its own, to see what the kernel can do. */
	if (!object || !bpf_object__find_program_by_name(object, attr->prog_name))
		return;
	printf("%s ", attr->prog_name);
	for (unsigned int i = 0; i < 8 * attr->insn_cnt; i++)
		printf("%02x", bytes[i]);
	putchar('\n');
}

long syscall(long number, ...)
{
	va_list list;
	int command;

	va_start(list, number);
	command = va_arg(list, int);
	if (number == SYS_bpf && command == BPF_PROG_LOAD)
		show(va_arg(list, const union bpf_attr *));
	va_end(list);
	if (number == SYS_bpf && command != BPF_PROG_LOAD && command != BPF_MAP_CREATE &&
	    command != BPF_BTF_LOAD)
		return 0;
	/* The variables of a program are a map, which is mapped into memory. */
	if (number == SYS_bpf || number == SYS_memfd_create)
		return open("/dev/zero", O_RDWR | O_CLOEXEC);
	errno = ENOSYS;
	return -1;
}

static int quiet(enum libbpf_print_level level, const char *format, va_list list)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, list) : 0;
}

int main(int argc, char **argv)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .btf_custom_path = argv[1]);

	libbpf_set_print(quiet);
	if (argc != 3)
		return 2;
	object = bpf_object__open_file(argv[2], &options);
	if (!object)
		return 2;
	return bpf_object__load(object) ? 1 : 0;
}
