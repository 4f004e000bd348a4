// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! How far one thing may lead to the next. Input that goes further is damaged, or made to do harm: no C
//! comes near.

/// Types in a row of which none is a named struct, union or enumeration; and those that are nested in
/// BTF that the kernel takes without resolving it. Each takes some of our own stack, of which threads have
/// 2 MiB.
pub const NESTED: usize = 1000;

/// Typedefs, qualifiers and arrays that stand before a type in DWARF, structs within structs.
/// Compilers write fewer than ten; who follows them may come by often.
pub const IN_A_ROW: usize = 64;

/// Annotations of one DIE. Each may be in the chain of many, and all of them would be in the result.
pub const ANNOTATIONS: usize = 16;

/// DIEs of which each is an instance of the next: of an inlined function its abstract instance, and
/// where that completes one, a declaration. There are two.
pub const ORIGINS: usize = 8;

/// Parameters of a function of which it is told where they are when it is inlined: each place says so of each.
/// C asks compilers for 127.
pub const PARAMETERS: usize = 255;

/// Bytes of a name. The kernel takes 511; a C++ compiler writes more, but names that are ends of one very
/// long one would together be as long as the square of it.
pub const NAME: usize = 2048;

/// What `bpf(BPF_BTF_LOAD)` follows (`MAX_RESOLVE_DEPTH`): types that contain each other, and typedefs,
/// qualifiers and tags in a row.
pub const RESOLVED: usize = 32;
