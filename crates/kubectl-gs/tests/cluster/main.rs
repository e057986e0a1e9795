//! `kubectl-gs` as the program that is shipped, against a real API server. There are no nodes and no controllers: the tests
//! write what those would.

#[cfg(test)]
mod race;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod world;
