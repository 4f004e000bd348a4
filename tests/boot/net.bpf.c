/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Three roads to struct net, of which modules define what vmlinux only declares. A socket that
 * vmlinux knows: read through its struct net, then given to a function of a module (tests/c/outside).
 * And a connection that nf_conntrack makes: read through its struct net as well.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct netns_ct {
	unsigned char sysctl_checksum;
};
struct net {
	struct netns_ct ct;
};
typedef struct {
	struct net *net;
} possible_net_t;
struct sock_common {
	possible_net_t skc_net;
};
struct sock {
	struct sock_common __sk_common;
};
struct inet_sock {
	struct sock sk;
};
struct inet_connection_sock {
	struct inet_sock icsk_inet;
};
struct tcp_sock {
	struct inet_connection_sock inet_conn;
};
struct nf_conn {
	possible_net_t ct_net;
};
#pragma clang attribute pop
/* libbpf takes no declaration for a struct. */
struct nf_conn___init {
	struct nf_conn ct;
};

/* The first 12 bytes of that of nf_conntrack, which suffice. */
struct bpf_ct_opts {
	int netns_id;
	int error;
	unsigned char l4proto, dir;
	unsigned short zone;
};

extern struct nf_conn___init *bpf_xdp_ct_alloc(struct xdp_md *context, struct bpf_sock_tuple *tuple,
					       unsigned int tuple_size, struct bpf_ct_opts *options,
					       unsigned int options_size) __ksym;
extern void bpf_ct_set_timeout(struct nf_conn___init *made, unsigned int milliseconds) __ksym;
extern struct nf_conn *bpf_ct_insert_entry(struct nf_conn___init *made) __ksym;
extern void bpf_ct_release(struct nf_conn *connection) __ksym;
extern unsigned int bpf_outside_port(struct sock *sock) __ksym;

/* Read by init.c, as four numbers. */
struct {
	unsigned int checksum, inserted, inserted_checksum, port;
} out;

static void of_the_socket(struct xdp_md *context)
{
	struct bpf_sock_tuple tuple = {};
	struct tcp_sock *tcp;
	struct bpf_sock *found;

	tuple.ipv4.daddr = bpf_htonl(0x7f000001);
	tuple.ipv4.dport = bpf_htons(7357);
	found = bpf_skc_lookup_tcp(context, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!found)
		return;
	tcp = bpf_skc_to_tcp_sock(found);
	if (tcp) {
		struct sock *sock = &tcp->inet_conn.icsk_inet.sk;

		out.checksum = sock->__sk_common.skc_net.net->ct.sysctl_checksum;
		out.port = bpf_outside_port(sock);
	}
	bpf_sk_release(found);
}

static void of_the_connection(struct xdp_md *context)
{
	struct bpf_ct_opts options = { .netns_id = BPF_F_CURRENT_NETNS, .l4proto = 17 };
	struct bpf_sock_tuple tuple = {};
	struct nf_conn___init *made;
	struct nf_conn *inserted;

	tuple.ipv4.saddr = bpf_htonl(0x7f000001);
	tuple.ipv4.daddr = bpf_htonl(0x7f000002);
	tuple.ipv4.sport = bpf_htons(1);
	tuple.ipv4.dport = bpf_htons(2);
	made = bpf_xdp_ct_alloc(context, &tuple, sizeof(tuple.ipv4), &options, sizeof(options));
	if (!made)
		return;
	bpf_ct_set_timeout(made, 10000);
	inserted = bpf_ct_insert_entry(made);
	if (!inserted)
		return;
	out.inserted = 1;
	out.inserted_checksum = inserted->ct_net.net->ct.sysctl_checksum;
	bpf_ct_release(inserted);
}

SEC("xdp")
int probe(struct xdp_md *context)
{
	of_the_socket(context);
	of_the_connection(context);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
