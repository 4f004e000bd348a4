// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What people ask about a kernel and its BTF.

pub mod ask;
pub mod explain;
pub mod fit;
pub mod functions;
pub mod sites;
pub mod survey;
