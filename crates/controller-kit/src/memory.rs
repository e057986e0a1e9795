//! Memory that is no longer needed goes back to the operating system.
//!
//! A list, a wave of changes or a set that grows by thousands brings answers of the API server that are decoded and dropped again. glibc keeps the
//! room between what stays, and gives back by itself only what is free at the heap's very end.
