// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What is kept from build to build, and the cheapest way to an object.

pub mod cache;
pub mod carried;
pub mod container;
pub mod dropped;
pub mod key;
pub mod objects;
pub mod sidecar;
