//! gs-controller against a real API server, without nodes: Pods are made and their status is written by the tests.
//!
//! The controller runs as the program that is shipped, one process for each test, restricted to the test's namespace.

#[cfg(test)]
mod cascade;
#[cfg(test)]
mod delete;
#[cfg(test)]
mod process;
#[cfg(test)]
mod restricted;
#[cfg(test)]
mod status;
#[cfg(test)]
mod support;
#[cfg(test)]
mod volumes;
