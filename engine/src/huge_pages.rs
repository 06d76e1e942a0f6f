//! Huge pages: asks the C library to back large blocks of memory with them.
//!
//! The ledger's memory is touched at random, and a fifth of what a payment costs in it is finding
//! out where a page is (measured in `docs/decisions/0015-huge-pages.md`). glibc asks the kernel for huge pages only
//! when it is told so at the start of the process, so the process starts itself again, once.

use std::{env, os::unix::process::CommandExt as _, process::Command};

const TUNABLES: &str = "GLIBC_TUNABLES";

/// Starts this program again with the same arguments and huge pages, in the same process, unless
/// the environment has settings for glibc already. To be called before anything else is done.
///
/// Where it can't be done, the program goes on as it is: it is only slower then.
pub fn ask_for_huge_pages() {
    if cfg!(not(all(target_os = "linux", target_env = "gnu"))) || env::var_os(TUNABLES).is_some() {
        return;
    }
    let mut args = env::args_os();
    let name = args.next().unwrap_or_default();
    let mut again = Command::new("/proc/self/exe");
    again.arg0(name).args(args).env(TUNABLES, "glibc.malloc.hugetlb=1");
    // It comes back only when it failed.
    let _ = again.exec();
}
