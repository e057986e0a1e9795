//! What this controller keeps of the objects it watches.

mod game_server;
mod ingress;
mod node;
mod pod;
mod service;
mod set;

pub(crate) use game_server::GameServerView;
pub(crate) use ingress::{Backend, IngressView, Shape, Tls};
pub(crate) use node::NodeView;
pub(crate) use pod::{HostPort, PodView};
#[cfg(test)]
pub(crate) use service::Address;
pub(crate) use service::{LOAD_BALANCER, ServicePort, ServiceView};
pub(crate) use set::SetView;

use api_types::views::Meta;
use serde::Deserialize as _;

/// Whether both are the same object under the same owners, both or neither of them on its way out.
fn is_same(one: &Meta, other: &Meta) -> bool {
    one.uid == other.uid
        && one.owner_references == other.owner_references
        && one.is_terminating() == other.is_terminating()
}

/// `null`, which Go writes for empty lists in some places, is the default.
fn null_as_default<'de, D: serde::Deserializer<'de>, T: serde::Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
