/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The only process of a kernel that is booted to see which BPF programs it takes: what libbpf and the
 * kernel say of each program of /programs, for the comparison with kbuild-btf check. Each is loaded
 * alone, then attached; programs whose section begins with "?" are not. Results are lines
 * "test: FILE PROGRAM LOAD ATTACH" of error numbers, - where there was nothing to attach.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

static int warnings(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char text[4096], *line, *rest = text;

	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(text, sizeof(text), format, arguments);
	while ((line = strsep(&rest, "\n")))
		if (*line)
			printf("said: %s\n", line);
	return 0;
}

static void try(const char *path, const char *name, const char *program)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *other, *wanted = NULL;
	struct bpf_map *map;
	struct bpf_link *link;
	int error;

	if (!object)
		return;
	bpf_object__for_each_program(other, object) {
		int is_wanted = !strcmp(bpf_program__name(other), program);

		bpf_program__set_autoload(other, is_wanted);
		if (is_wanted)
			wanted = other;
	}
	/* Those of user space that it sizes when it runs. */
	bpf_object__for_each_map(map, object) {
		if (!bpf_map__max_entries(map) && bpf_map__type(map) != BPF_MAP_TYPE_PERF_EVENT_ARRAY)
			bpf_map__set_max_entries(map, 1024);
		if (!bpf_map__value_size(map) && bpf_map__type(map) == BPF_MAP_TYPE_STACK_TRACE)
			bpf_map__set_value_size(map, 8 * 127);
	}
	error = bpf_object__load(object);
	if (error) {
		printf("test: %s %s %d -\n", name, program, error);
	} else {
		link = bpf_program__attach(wanted);
		printf("test: %s %s 0 %d\n", name, program, link ? 0 : -1);
		bpf_link__destroy(link);
	}
	fflush(stdout);
	bpf_object__close(object);
}

static void try_all(const char *path, const char *name)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program;

	if (!object) {
		printf("test: %s - -1 -\n", name);
		return;
	}
	bpf_object__for_each_program(program, object) {
		printf("said: == %s %s\n", name, bpf_program__name(program));
		try(path, name, bpf_program__name(program));
	}
	bpf_object__close(object);
}

int main(void)
{
	struct dirent **names;
	int count;

	mkdir("/dev", 0755);
	mknod("/dev/console", S_IFCHR | 0600, makedev(5, 1));
	for (int i = 0; i < 3; i++)
		dup2(open("/dev/console", O_RDWR), i);
	mkdir("/sys", 0755);
	mkdir("/proc", 0755);
	mount("sys", "/sys", "sysfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("debug", "/sys/kernel/debug", "debugfs", 0, NULL);
	mount("trace", "/sys/kernel/tracing", "tracefs", 0, NULL);
	mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL);
	libbpf_set_print(warnings);
	count = scandir("/programs", &names, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		char path[300];

		if (names[i]->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/programs/%s", names[i]->d_name);
		try_all(path, names[i]->d_name);
	}
	printf("test: end\n");
	fflush(stdout);
	tcdrain(1);
	reboot(RB_AUTOBOOT);
	return 0;
}
