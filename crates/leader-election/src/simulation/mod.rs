//! Discrete-event simulation: the real state machines against a simulated API server, network, clocks and scheduler.
//!
//! What the simulation may do to a process: stop it for longer than a lease, run its clock 10 % fast or slow, set its wall clock anywhere,
//! kill it, delay or lose requests and answers, and let a write land long after its sender gave up on it.
//!
//! True time is in microseconds since the start. Processes see only their own clock.

mod election;
mod shards;
mod world;
