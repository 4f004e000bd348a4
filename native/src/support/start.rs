// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! How the two programs begin. make starts one for each object and each module, so their start
//! counts: they have no `main` of Rust, whose runtime first looks for the end of the stack in
//! `/proc` and sets up handlers, for a tenth of a millisecond.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{c_char, c_int, CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicI32, Ordering};

/// What is left of the work of Rust's runtime, and the arguments behind the program's name.
///
/// # Safety
///
/// `arguments` are `count` pointers to strings that end in NUL, as the C library gives them to
/// `main`. `exit_status`: of a program that cannot go on.
pub unsafe fn begin(
    count: c_int,
    arguments: *const *const c_char,
    exit_status: c_int,
) -> Vec<OsString> {
    end_where_files_shrink(exit_status);
    // A reader who left is no reason to be killed.
    // SAFETY: no handler of ours runs.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    // Else the next file that is opened takes the place of a closed standard stream, and gets what
    // is said there.
    // SAFETY: no other thread opens or closes files yet.
    unsafe {
        for stream in 0..3 {
            if libc::fcntl(stream, libc::F_GETFD) == -1 {
                libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
            }
        }
    }
    (1..usize::try_from(count).unwrap_or(0))
        // SAFETY: the caller's promise.
        .map(|i| unsafe { CStr::from_ptr(*arguments.add(i)) })
        .map(|text| OsStr::from_bytes(text.to_bytes()).to_owned())
        .collect()
}

static SHRUNK: AtomicI32 = AtomicI32::new(1);

/// Where a file is mapped that somebody makes shorter meanwhile, reading on is a signal (SIGBUS). Then the
/// program ends with one message and this status. To copy each file instead would take the hook a tenth of
/// its time, and a look at lengths helps only until the next instruction.
pub fn end_where_files_shrink(exit_status: c_int) {
    SHRUNK.store(exit_status, Ordering::Relaxed);
    let handler = on_shrunk as extern "C" fn(c_int);
    // SAFETY: the handler does nothing that a handler may not.
    unsafe { libc::signal(libc::SIGBUS, handler as libc::sighandler_t) };
}

extern "C" fn on_shrunk(_: c_int) {
    const MESSAGE: &str =
        "kbuild-btf: error: a file became shorter while it was read; run make again\n";
    // SAFETY: both are allowed in a handler; what is written, and whether, does not matter any more.
    unsafe {
        libc::write(2, MESSAGE.as_ptr().cast(), MESSAGE.len());
        libc::_exit(SHRUNK.load(Ordering::Relaxed));
    }
}

/// The memory of a program: where there is none left, it ends with one message, not with an abort.
pub struct Memory {
    /// What is said then, a line.
    pub message: &'static str,
    pub exit_status: c_int,
}

impl Memory {
    fn given(&self, memory: *mut u8) -> *mut u8 {
        if memory.is_null() {
            // SAFETY: the bytes are there; what is written, and whether, does not matter any more.
            unsafe {
                libc::write(2, self.message.as_ptr().cast(), self.message.len());
                libc::_exit(self.exit_status);
            }
        }
        memory
    }
}

// SAFETY: all of it is the system's.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.given(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.given(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.given(unsafe { System.realloc(memory, layout, size) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}
