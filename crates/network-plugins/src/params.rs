//! The parameters of a network plugin, and the forms their values have (pure).

use serde::Deserialize;

use crate::problem::Problem;

/// What `spec.network.networkConf` says, as the Pod carries it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Params {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Entry {
    name: String,
    value: String,
}

/// Protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// As Kubernetes writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }

    /// The protocol of this name; TCP where there is none.
    pub(crate) fn of(text: Option<&str>) -> Option<Self> {
        match text.unwrap_or("TCP") {
            "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            "SCTP" => Some(Self::Sctp),
            _ => None,
        }
    }
}

/// One item of a list of ports: a number, and its one or two protocols.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PortItem {
    /// The port in the container; `None` for the word `SameAsHost`.
    pub port: Option<u16>,
    /// TCP, UDP, SCTP, or TCP and UDP for `TCPUDP`.
    pub protocols: Vec<Protocol>,
}

impl Params {
    /// Reads the annotation `network-conf`.
    ///
    /// # Errors
    /// When it is not a list of names and values.
    pub(crate) fn parse(conf: &str) -> Result<Self, Problem> {
        if conf.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_str::<Option<Vec<Entry>>>(conf)
            .map(|entries| Self {
                entries: entries.unwrap_or_default(),
            })
            .map_err(|error| {
                Problem::parameter(format!("networkConf is not a list of names and values: {error}"))
            })
    }

    /// Every value under this name, in their order.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.entries
            .iter()
            .filter(move |entry| entry.name == name)
            .map(|entry| entry.value.as_str())
    }

    /// The last value under this name that says something.
    pub(crate) fn last<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).filter(|value| !value.is_empty()).last()
    }

    /// A flag, false where it is absent.
    ///
    /// # Errors
    /// When it is neither of the spellings that OpenKruiseGame takes.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.last(name) {
            None | Some("false" | "False" | "FALSE" | "f" | "F" | "0") => Ok(false),
            Some("true" | "True" | "TRUE" | "t" | "T" | "1") => Ok(true),
            Some(other) => Err(Problem::parameter(format!(
                "{name} is \"true\" or \"false\", not {other:?}"
            ))),
        }
    }

    /// A number from `low` to 65535.
    ///
    /// # Errors
    /// When it is not one.
    pub(crate) fn number(&self, name: &str, low: u16) -> Result<Option<u16>, Problem> {
        let Some(text) = self.last(name) else {
            return Ok(None);
        };
        match text.trim().parse::<u16>() {
            Ok(number) if number >= low => Ok(Some(number)),
            _ => Err(Problem::parameter(format!(
                "{name} is a number from {low} to 65535, not {text:?}"
            ))),
        }
    }

    /// Every list of ports under this name, as one.
    ///
    /// # Errors
    /// When one cannot be read, or there is none.
    pub(crate) fn ports(&self, name: &str) -> Result<Vec<PortItem>, Problem> {
        let mut items = Vec::new();
        for list in self.all(name) {
            for item in port_items(list)? {
                if item.port.is_none() {
                    return Err(Problem::parameter(format!(
                        "{name} is a list of ports, for example 25565/TCP,8080/UDP; SameAsHost is for ContainerPorts only"
                    )));
                }
                if !items.contains(&item) {
                    items.push(item);
                }
            }
        }
        if items.is_empty() {
            return Err(Problem::parameter(format!(
                "{name} is missing: a list of ports, for example 25565/TCP,8080/UDP"
            )));
        }
        Ok(items)
    }
}

/// Reads `80,7777/UDP,9000/TCPUDP,SameAsHost`.
///
/// # Errors
/// When an item is not a port.
pub(crate) fn port_items(list: &str) -> Result<Vec<PortItem>, Problem> {
    list.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(port_item)
        .collect()
}

fn port_item(item: &str) -> Result<PortItem, Problem> {
    let (port, protocol) = item.split_once('/').unwrap_or((item, "TCP"));
    let protocols = match protocol {
        "TCPUDP" => vec![Protocol::Tcp, Protocol::Udp],
        other => vec![Protocol::of(Some(other)).ok_or_else(|| {
            Problem::parameter(format!("the protocol of {item:?} is TCP, UDP, TCPUDP or SCTP"))
        })?],
    };
    let port = if port == SAME_AS_HOST {
        None
    } else {
        let number = port.parse::<u16>().ok().filter(|number| *number > 0);
        Some(number.ok_or_else(|| {
            Problem::parameter(format!("{item:?} is not a port: write a number from 1 to 65535"))
        })?)
    };
    Ok(PortItem { port, protocols })
}

/// In place of a container's port: whatever host port it is given.
pub(crate) const SAME_AS_HOST: &str = "SameAsHost";

/// The tokens that stand for a server's id. OpenKruiseGame knows the first only; the others are what its articles print.
const TOKENS: [&str; 3] = ["<id>", "{ID}", "{id}"];

/// `text` with the server's id in place of its token.
///
/// # Errors
/// When there is more than one.
pub(crate) fn with_id(name: &str, text: &str, id: u32) -> Result<String, Problem> {
    let found: usize = TOKENS.iter().map(|token| text.matches(token).count()).sum();
    if found > 1 {
        return Err(Problem::parameter(format!(
            "{name} can have one <id>, and {text:?} has {found}"
        )));
    }
    Ok(with_ids(text, id))
}

/// `text` with the server's id in place of all of its tokens.
pub(crate) fn with_ids(text: &str, id: u32) -> String {
    let id = id.to_string();
    TOKENS
        .iter()
        .fold(text.to_owned(), |text, token| text.replace(token, &id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_ports_is_read_as_it_is_documented() {
        let read = |list: &str| {
            port_items(list)
                .unwrap()
                .into_iter()
                .map(|item| {
                    (
                        item.port,
                        item.protocols.iter().map(|it| it.as_str()).collect::<Vec<_>>(),
                    )
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(
            read("80, 7777/UDP,9000/TCPUDP,SameAsHost/SCTP,"),
            [
                (Some(80), vec!["TCP"]),
                (Some(7777), vec!["UDP"]),
                (Some(9000), vec!["TCP", "UDP"]),
                (None, vec!["SCTP"]),
            ]
        );
        for bad in ["x", "0", "65536", "80/HTTP", "80/", "-1"] {
            let problem = port_items(bad).unwrap_err();
            assert!(
                problem.message.contains(bad.split('/').next().unwrap()),
                "{problem:?}"
            );
        }
    }

    #[test]
    fn the_id_has_one_token_of_three_spellings() {
        for text in ["g<id>.example.org", "g{ID}.example.org", "g{id}.example.org"] {
            assert_eq!(with_id("Host", text, 3).unwrap(), "g3.example.org");
        }
        assert_eq!(with_id("Host", "example.org", 3).unwrap(), "example.org");
        assert!(with_id("Host", "<id>.<id>", 3).is_err() && with_id("Host", "<id>{ID}", 3).is_err());
        assert_eq!(with_ids("<id>-{ID}", 3), "3-3");
    }

    #[test]
    fn names_repeat_and_the_last_one_counts() {
        let params =
            Params::parse(r#"[{"name":"A","value":"1"},{"name":"A","value":"2"},{"name":"A"}]"#).unwrap();
        assert_eq!(params.all("A").collect::<Vec<_>>(), ["1", "2", ""]);
        assert_eq!(params.last("A"), Some("2"));
        assert_eq!(params.number("A", 1).unwrap(), Some(2));
        assert!(params.flag("A").is_err() && !params.flag("B").unwrap());
        assert_eq!(Params::parse("null").unwrap(), Params::default());
        assert!(Params::parse("{").is_err());
    }
}
