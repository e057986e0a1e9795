//! Why a server's network is not ready, as one word and a sentence (pure).

/// Why a server's network is not ready: the reason of its condition, and of the event that goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No plugin has the name in `networkType`.
    NoSuchPlugin,
    /// A parameter cannot be understood.
    ParameterError,
    /// The Pod was made without the host ports it should have.
    HostPortsMissing,
    /// No load balancer of the list has enough free ports.
    PortsExhausted,
    /// Another Service has the port on the load balancer.
    PortConflict,
    /// An object of the server's name belongs to somebody else.
    NameTaken,
    /// The API server does not accept the object.
    Refused,
    /// The server's set is not known yet.
    WaitingForSet,
    /// The Pod has no node, or the node no address.
    WaitingForNode,
    /// The Pod has no address yet.
    WaitingForPod,
    /// The Service or the Ingress is being made.
    WaitingForObjects,
    /// The load balancer has no address yet.
    WaitingForAddress,
    /// `networkDisabled` is set.
    Disabled,
    /// The server is being taken away and takes no new players.
    Draining,
}

impl Reason {
    /// Every one.
    pub const ALL: [Self; 14] = [
        Self::NoSuchPlugin,
        Self::ParameterError,
        Self::HostPortsMissing,
        Self::PortsExhausted,
        Self::PortConflict,
        Self::NameTaken,
        Self::Refused,
        Self::WaitingForSet,
        Self::WaitingForNode,
        Self::WaitingForPod,
        Self::WaitingForObjects,
        Self::WaitingForAddress,
        Self::Disabled,
        Self::Draining,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSuchPlugin => "NoSuchPlugin",
            Self::ParameterError => "ParameterError",
            Self::HostPortsMissing => "HostPortsMissing",
            Self::PortsExhausted => "PortsExhausted",
            Self::PortConflict => "PortConflict",
            Self::NameTaken => "ServiceConflict",
            Self::Refused => "Refused",
            Self::WaitingForSet => "WaitingForSet",
            Self::WaitingForNode => "WaitingForNode",
            Self::WaitingForPod => "WaitingForPod",
            Self::WaitingForObjects => "WaitingForObjects",
            Self::WaitingForAddress => "WaitingForAddress",
            Self::Disabled => "NetworkDisabled",
            Self::Draining => "Draining",
        }
    }

    /// Whether it passes by itself on every server's way up.
    pub fn is_waiting(self) -> bool {
        matches!(
            self,
            Self::WaitingForSet
                | Self::WaitingForNode
                | Self::WaitingForPod
                | Self::WaitingForObjects
                | Self::WaitingForAddress
        )
    }

    /// Whether somebody has to do something about it.
    pub fn is_error(self) -> bool {
        !self.is_waiting() && !matches!(self, Self::Disabled | Self::Draining)
    }
}

/// What is wrong, or waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// In a word.
    pub reason: Reason,
    /// In a sentence that says what to do instead, where anything can be done.
    pub message: String,
}

impl Problem {
    /// A problem.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    /// A parameter that cannot be understood.
    pub fn parameter(message: impl Into<String>) -> Self {
        Self::new(Reason::ParameterError, message)
    }
}
