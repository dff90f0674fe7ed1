//! The C library's heap of a process that is going to be forked: what is free between its blocks is used up.
//!
//! A forked process gets a copy of each page that it writes to.  Blocks that it allocates in the gaps of the old heap, and gaps that
//! the C library joins, would be on a page each; without gaps it allocates behind the old heap, one block beside the other.

/// The largest blocks that gaps are filled with.
#[cfg(target_env = "gnu")]
const LARGEST: usize = 1 << 16;

/// The smallest size of which the C library has a block.
#[cfg(target_env = "gnu")]
const SMALLEST: usize = 24;

/// Up to this size each size is tried; the C library keeps lists of gaps of the same size.
#[cfg(target_env = "gnu")]
const SMALL: usize = 512;

/// The blocks in a row that were in no gap after which there is none of a size: more than the freed blocks of each that the C library
/// keeps for each thread without telling that they are free.
#[cfg(target_env = "gnu")]
const MISSES: usize = 8;

/// Fill the gaps, for good: what they are filled with is lost, some hundred kilobytes.  A process does this once.
#[cfg(target_env = "gnu")]
pub fn fill_gaps() {
    // SAFETY: it gives back free memory only, and takes none of ours.
    unsafe { libc::malloc_trim(0) };
    let mut size = LARGEST;
    while size >= SMALLEST {
        fill_with(size);
        size -= if size > SMALL { size / 8 } else { 16 };
    }
}

/// Where the C library says nothing of its gaps they stay.
#[cfg(not(target_env = "gnu"))]
pub fn fill_gaps() {}

#[cfg(target_env = "gnu")]
fn fill_with(size: usize) {
    let mut misses = Vec::with_capacity(MISSES);
    let mut free = in_gaps();
    while misses.len() < MISSES {
        // SAFETY: malloc takes a number.  Nobody uses the block.
        let block = unsafe { libc::malloc(size) };
        let left = in_gaps();
        if left >= free {
            misses.push(block);
        }
        free = left;
    }
    // The small ones would become what they were to use up: freed blocks that the C library keeps, all over the heap.
    for block in misses.into_iter().filter(|_| size > 1 << 11) {
        // SAFETY: it was allocated just now and nobody has used it; null, where there was no memory, is allowed.
        unsafe { libc::free(block) };
    }
}

/// How many bytes are free, but for those at the end of the heap.  Beyond 2 GiB the numbers wrap, and only their differences are right.
#[cfg(target_env = "gnu")]
fn in_gaps() -> libc::c_int {
    // SAFETY: it takes nothing.
    let info = unsafe { libc::mallinfo() };
    info.fordblks.wrapping_sub(info.keepcost)
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled() {
        let mut blocks: Vec<Box<[u8; 3000]>> = (0..200).map(|_| Box::new([1; 3000])).collect();
        let mut place = 0;
        blocks.retain(|_| {
            place += 1;
            place % 2 == 0
        });
        let before = in_gaps();
        fill_gaps();
        assert!(before - in_gaps() > 200_000, "{before} bytes were free, now {}", in_gaps());
    }
}
