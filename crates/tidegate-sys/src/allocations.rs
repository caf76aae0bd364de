//! How often the heap was asked for memory, in builds with the feature `count-allocations`; measurements use it, a
//! released program does not have it. Knows no callers.

/// Allocations and reallocations of the whole process so far; nothing in builds that do not count.
pub fn heap_allocations() -> Option<u64> {
    #[cfg(feature = "count-allocations")]
    return Some(counting::COUNT.load(std::sync::atomic::Ordering::Relaxed));
    #[cfg(not(feature = "count-allocations"))]
    None
}

#[cfg(feature = "count-allocations")]
#[allow(unsafe_code, reason = "an allocator is unsafe by its trait")]
mod counting {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::{AtomicU64, Ordering};

    // Relaxed: a statistic that orders nothing.
    pub(super) static COUNT: AtomicU64 = AtomicU64::new(0);

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    #[derive(Debug)]
    struct Counting;

    // SAFETY: every call goes to the system's allocator unchanged; counting touches no memory but one atomic.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            COUNT.fetch_add(1, Ordering::Relaxed);
            // SAFETY: the caller keeps the promises of `GlobalAlloc::alloc`.
            unsafe { System.alloc(layout) }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            COUNT.fetch_add(1, Ordering::Relaxed);
            // SAFETY: the caller keeps the promises of `GlobalAlloc::alloc_zeroed`.
            unsafe { System.alloc_zeroed(layout) }
        }

        unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            COUNT.fetch_add(1, Ordering::Relaxed);
            // SAFETY: the caller keeps the promises of `GlobalAlloc::realloc`.
            unsafe { System.realloc(memory, layout, size) }
        }

        unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
            // SAFETY: the caller keeps the promises of `GlobalAlloc::dealloc`.
            unsafe { System.dealloc(memory, layout) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocation_is_counted_where_counting_is_built_in() {
        let before = heap_allocations();
        drop(std::hint::black_box(vec![1_u8; 64]));
        let counted = heap_allocations() > before;
        assert_eq!(counted, cfg!(feature = "count-allocations"));
    }
}
