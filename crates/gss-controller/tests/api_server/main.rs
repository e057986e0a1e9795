//! gss-controller on a real API server without nodes: the tests play kubelet, gs-controller and allocator.

mod births;
mod claims;
mod process;
mod restricted;
mod scaling;
mod survivors;
mod world;
mod writers;
