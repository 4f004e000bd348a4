/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The only process of a kernel that is booted to look at its BTF. It loads every module of /modules,
 * runs the BPF programs that are there, and writes what /sys/kernel/btf holds to the second serial
 * port: a line "NAME SIZE", then that many bytes, for each file. Then it tries the modules of
 * /damaged, and restarts the machine. What it finds goes to the first port, in lines that begin with
 * "test: ".
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

/*
 * From 1.5 on libbpf makes a file in memory for each map that it has not made yet, just to have a
 * number for it. This kernel is small and has no memfd_create(), so here it is any other file.
 */
long syscall(long number, ...)
{
	va_list list;
	long a[6], result;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_memfd_create)
		return open("/", O_RDONLY | O_CLOEXEC);
	register long r10 __asm__("r10") = a[3];
	register long r8 __asm__("r8") = a[4];
	register long r9 __asm__("r9") = a[5];
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	if (result < 0 && result > -4096) {
		errno = (int)-result;
		return -1;
	}
	return result;
}

enum { PORT = 7357, BACKLOG = 41, MODULES = 64, OUT = 4 };

static void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("test: ", stdout);
	vprintf(format, arguments);
	putchar('\n');
	fflush(stdout);
	va_end(arguments);
}

static void console(void)
{
	mkdir("/dev", 0755);
	mknod("/dev/console", S_IFCHR | 0600, makedev(5, 1));
	mknod("/dev/ttyS1", S_IFCHR | 0600, makedev(4, 65));
	for (int i = 0; i < 3; i++)
		dup2(open("/dev/console", O_RDWR), i);
}

/* In whatever order they need each other: again and again, as long as one more can be loaded. */
static void load_modules(void)
{
	int loaded[MODULES] = { 0 }, failed[MODULES] = { 0 }, more = 1;
	struct dirent **names;
	int count = scandir("/modules", &names, NULL, alphasort);

	while (more) {
		more = 0;
		for (int i = 0; i < count && i < MODULES; i++) {
			char path[300];
			int file;

			if (loaded[i] || names[i]->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "/modules/%s", names[i]->d_name);
			file = open(path, O_RDONLY);
			if (!syscall(SYS_finit_module, file, "", 0)) {
				loaded[i] = more = 1;
				say("loaded %s", names[i]->d_name);
			} else {
				failed[i] = errno;
			}
			close(file);
		}
	}
	for (int i = 0; i < count && i < MODULES; i++)
		if (!loaded[i] && names[i]->d_name[0] != '.')
			say("not loaded %s: %s", names[i]->d_name, strerror(failed[i]));
}

/* Whether it was loaded is for the kernel to say. */
static void try_damaged_modules(void)
{
	struct dirent **names;
	int count = scandir("/damaged", &names, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		char path[300];
		int file;

		if (names[i]->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/damaged/%s", names[i]->d_name);
		file = open(path, O_RDONLY);
		say("tried %s: %ld", names[i]->d_name, syscall(SYS_finit_module, file, "", 0));
		close(file);
	}
}

/* Load the file, run its program "probe" as XDP, read its variable "out". */
static int run(const char *path, unsigned int out[OUT])
{
	unsigned char packet[64] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof(packet));
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_map *map;
	unsigned int key = 0;

	if (!object || bpf_object__load(object)) {
		say("not loaded %s: %s", path, strerror(errno));
		return -1;
	}
	map = bpf_object__find_map_by_name(object, ".bss");
	if (bpf_prog_test_run_opts(
		    bpf_program__fd(bpf_object__find_program_by_name(object, "probe")), &options) ||
	    !map || bpf_map_lookup_elem(bpf_map__fd(map), &key, out)) {
		say("not run %s: %s", path, strerror(errno));
		return -1;
	}
	say("%s returned %u", path, options.retval);
	return 0;
}

static void run_probe(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	unsigned int out[OUT];

	if (bind(listener, (void *)&address, sizeof(address)) || listen(listener, BACKLOG)) {
		say("no socket: %s", strerror(errno));
		return;
	}
	if (run("/probe.bpf.o", out))
		return;
	say("port %u backlog %u", out[0], out[1]);
	say("veth_priv offset %u size %u", out[2], out[3]);
}

static void run_outside(void)
{
	unsigned int out[OUT];

	if (!run("/outside.bpf.o", out))
		say("outside number %u bad %u", out[0], out[1]);
}

static void run_net(void)
{
	unsigned int out[OUT];

	if (!run("/net.bpf.o", out))
		say("net checksum %u, inserted %u checksum %u, port of the module %u", out[0],
		    out[1], out[2], out[3]);
}

static void send_btf(void)
{
	int port = open("/dev/ttyS1", O_WRONLY | O_NOCTTY);
	struct termios settings;
	struct dirent **names;
	int count = scandir("/sys/kernel/btf", &names, NULL, alphasort);
	static char buffer[16 << 20];

	tcgetattr(port, &settings);
	cfmakeraw(&settings);
	cfsetspeed(&settings, B115200);
	tcsetattr(port, TCSANOW, &settings);
	for (int i = 0; i < count; i++) {
		char path[300];
		ssize_t size = 0, more, sent = 0;
		int file;

		if (names[i]->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/kernel/btf/%s", names[i]->d_name);
		file = open(path, O_RDONLY);
		while ((more = read(file, buffer + size, sizeof(buffer) - size)) > 0)
			size += more;
		dprintf(port, "%s %zd\n", names[i]->d_name, size);
		while (sent < size && (more = write(port, buffer + sent, size - sent)) > 0)
			sent += more;
		close(file);
	}
	tcdrain(port);
}

int main(void)
{
	console();
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	load_modules();
	if (!access("/probe.bpf.o", R_OK))
		run_probe();
	run_outside();
	if (!access("/net.bpf.o", R_OK))
		run_net();
	send_btf();
	try_damaged_modules();
	say("end");
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}
