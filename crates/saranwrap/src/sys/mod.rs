//! Descriptors, processes and shared memory, as this platform has them.  The only `unsafe` of the engine; no protocol and no policy.

pub mod signals;
pub mod fd;
pub mod process;
pub mod descendants;
pub mod heap;
pub mod fork;
pub mod inherit;
pub mod shm;
pub mod numbers;
pub mod window;
