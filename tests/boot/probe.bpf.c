/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Find a listening TCP socket and read two of its members, through the types of the running kernel.
 *
 * The structs name the members that are read and nothing else, so every offset that the compiler
 * knows is wrong: libbpf corrects them from the kernel's BTF (CO-RE). The verifier checks each load
 * against the same BTF, and knows from it what bpf_skc_to_tcp_sock returns.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sock_common {
	unsigned short skc_num;
};
struct sock {
	struct sock_common __sk_common;
	unsigned int sk_max_ack_backlog;
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
/* Of a module. */
struct veth_priv {
	void *peer;
	unsigned int requested_headroom;
};
#pragma clang attribute pop

/* Read by init.c, as four numbers. */
struct {
	unsigned int port, backlog, module_offset, module_size;
} out;

SEC("xdp")
int probe(struct xdp_md *context)
{
	struct bpf_sock_tuple tuple = {};
	struct tcp_sock *tcp;
	struct bpf_sock *found;

	out.module_offset = bpf_core_field_offset(struct veth_priv, requested_headroom);
	out.module_size = bpf_core_type_size(struct veth_priv);
	tuple.ipv4.daddr = bpf_htonl(0x7f000001);
	tuple.ipv4.dport = bpf_htons(7357);
	found = bpf_skc_lookup_tcp(context, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!found)
		return XDP_DROP;
	tcp = bpf_skc_to_tcp_sock(found);
	if (tcp) {
		out.port = tcp->inet_conn.icsk_inet.sk.__sk_common.skc_num;
		out.backlog = tcp->inet_conn.icsk_inet.sk.sk_max_ack_backlog;
	}
	bpf_sk_release(found);
	return tcp ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "GPL";
