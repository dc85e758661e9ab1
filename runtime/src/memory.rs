//! How the process asks the kernel for memory.

/// Takes memory in small pages. With transparent huge pages the kernel clears 2 MiB at the first touch of any of it, which costs a pipeline a
/// fifth of its CPU time and twice its resident set (measured over the online-retail events); the allocator and the guests' memories reuse
/// what they have, and gain little from larger pages. A kernel that refuses changes nothing but the cost.
pub fn use_small_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "transparent huge pages stay on");
    }
}
