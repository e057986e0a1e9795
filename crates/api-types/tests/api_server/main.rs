//! The definitions against a real API server: they install, refuse what is bad with words that help, and accept the rest.

mod claim;
mod cluster;
mod definitions;
mod manifests;
mod objects;
