//! Gamekeeper's API.
//!
//! | module | content |
//! |---|---|
//! | [`game_server`], [`game_server_set`] | the two custom resources, whole, for writing and for tools |
//! | [`views`] | the parts of objects that the controllers watch, decoded straight from the watch |
//! | [`keys`] | labels, annotations, condition types, field managers |
//! | [`state`], [`ops_state`] | the state of a server, computed from its Pod; what operators say about it |
//! | [`eviction`] | who may evict a server, and how its Pod shows it |
//! | [`crd`] | the CustomResourceDefinitions with their validation rules |
//! | [`names`], [`int_or_string`] | derived names; values that are an integer or a string |
//!
//! There is no client and no async code here: a controller, a command-line tool and a test all use the same types.

pub mod condition;
pub mod crd;
pub mod eviction;
pub mod game_server;
pub mod game_server_set;
pub mod int_or_string;
pub mod keys;
pub mod label;
pub mod names;
pub mod network_status;
mod object;
mod open_enum;
pub mod ops_state;
mod schema;
pub mod state;
pub mod views;

pub use condition::{Condition, GameServerCondition};
pub use game_server::{
    ContainerResources, DeletionClaim, EvictionInForce, GameServer, GameServerContainer, GameServerSpec,
    GameServerStatus, ResourceClaimRef, ServiceQualityCondition,
    reported::{Report, Reported, ReportedHealth, ReportedPlayers, ReportedState},
};
pub use game_server_set::*;
pub use int_or_string::IntOrString;
pub use network_status::{NetworkAddress, NetworkPort, NetworkPortRange, NetworkStatus};
pub use state::{GameServerState, PodFacts, game_server_state};
pub use views::{GameServerSetView, GameServerView, Meta, OwnerRef, PodView};
