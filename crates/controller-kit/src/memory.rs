//! Who gives memory to a program.
//!
//! Each event brings an answer of the API server of some kilobytes, from which a few strings are kept. glibc puts these into the room that the
//! last answer left, and the next answer does not fit there any more: after 5,000 servers had come, more than half of what pod-sync had was such holes, and giving
//! back what is free (`malloc_trim`) took off 2 MB of 26. mimalloc keeps small and large apart
//! (`docs/adr/0046-an-allocator-that-keeps-small-and-large-apart.md`).

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
