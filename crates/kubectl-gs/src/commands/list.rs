//! `list`: the servers of a namespace, and each of them again when it changes.

use std::collections::BTreeMap;

use api_types::GameServer;
use futures::{StreamExt as _, pin_mut};
use jiff::Timestamp;
use kube::{
    api::DynamicObject,
    runtime::watcher::{self, Event},
};
use serde_json::Value;

use crate::{
    address::Addresses,
    age,
    cli::{Format, List},
    connect::Session,
    error::Error,
    output,
    read::{self, Object},
    server::{
        created, leaving, name, namespace, ops_state, players, rank, set, state, tone_of_ops_state,
        tone_of_state,
    },
    style::{Style, Tone},
    table::{Cell, Table, Widths},
};

/// Runs the command.
///
/// # Errors
/// When the cluster can't be read.
pub async fn run(session: &Session, args: List, style: Style) -> Result<(), Error> {
    let names = read::names(&args.names)?;
    let filter = Filter {
        names: names.clone(),
        states: args.state.clone(),
        ops_states: args.ops_state.clone(),
    };
    let labels = read::labels(&args.selection)?;
    let scope = session.scope(args.all_namespaces);
    if args.watch {
        return follow(session, &args, &filter, labels.as_deref(), style).await;
    }
    let mut found = read::list::<GameServer>(&session.client, scope, labels.as_deref()).await?;
    let missing = |name: &&String| {
        found
            .iter()
            .all(|found| found.object.metadata.name.as_ref() != Some(*name))
    };
    if let Some(name) = names.iter().find(missing) {
        return Err(Error::not_found("gameservers.game.kruise.io", name));
    }
    found.retain(|found| filter.lets(&found.object));
    found.sort_by(|a, b| rank(&a.object.metadata).cmp(&rank(&b.object.metadata)));
    if found.is_empty() && matches!(args.output, Format::Table | Format::Wide) {
        let place = scope.map_or_else(String::new, |namespace| format!(" in {namespace} namespace"));
        eprintln!("No game servers found{place}.");
        return Ok(());
    }
    print_all(found, &args, names.len() == 1, style)
}

fn print_all(found: Vec<Object<GameServer>>, args: &List, one: bool, style: Style) -> Result<(), Error> {
    match args.output {
        Format::Name => {
            let names = found
                .iter()
                .map(|found| output::full_name(name(&found.object.metadata)));
            output::print(&output::lines(names))
        }
        Format::Json => output::json(&output::listed(raw(found, args), one)),
        Format::Yaml => output::yaml(&output::listed(raw(found, args), one)),
        Format::Table | Format::Wide => {
            let columns = Columns::of(args);
            let mut table = Table::new(columns.headers());
            let now = Timestamp::now();
            for found in &found {
                table.push(columns.row(&found.object, now));
            }
            output::print(&table.render(!args.no_headers, style))
        }
    }
}

fn raw(found: Vec<Object<GameServer>>, args: &List) -> Vec<Value> {
    let raw = found.into_iter().map(|found| found.raw);
    if args.show_managed_fields {
        raw.collect()
    } else {
        raw.map(output::without_managed_fields).collect()
    }
}

/// Which servers are shown, beyond what the API server selects.
#[derive(Debug, Clone, Default)]
struct Filter {
    names: Vec<String>,
    states: Vec<String>,
    ops_states: Vec<String>,
}

impl Filter {
    /// Words are compared whatever their case: these are for looking, not for writing.
    fn lets(&self, server: &GameServer) -> bool {
        let among = |wanted: &[String], value: &str| {
            wanted.is_empty() || wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
        };
        let name = name(&server.metadata);
        (self.names.is_empty() || self.names.iter().any(|wanted| wanted == name))
            && among(&self.states, state(server))
            && among(&self.ops_states, ops_state(server))
    }
}

/// Which columns there are.
#[derive(Debug, Clone, Copy)]
struct Columns {
    namespace: bool,
    wide: bool,
}

impl Columns {
    fn of(args: &List) -> Self {
        Self {
            namespace: args.all_namespaces,
            wide: args.output == Format::Wide,
        }
    }

    fn headers(self) -> Vec<&'static str> {
        let mut headers = if self.namespace {
            vec!["NAMESPACE"]
        } else {
            Vec::new()
        };
        headers.extend([
            "NAME", "SET", "STATE", "OPSSTATE", "PLAYERS", "ADDRESS", "LEAVING", "AGE",
        ]);
        if self.wide {
            headers.extend(["NODE", "POD-IP", "HEALTH", "MATCH", "UP", "DP"]);
        }
        headers
    }

    fn row(self, server: &GameServer, now: Timestamp) -> Vec<Cell> {
        let meta = &server.metadata;
        let (state, ops_state) = (state(server), ops_state(server));
        let mut row: Vec<Cell> = if self.namespace {
            vec![namespace(meta).into()]
        } else {
            Vec::new()
        };
        row.extend([
            name(meta).into(),
            set(meta).unwrap_or_default().into(),
            Cell::toned(state, tone_of_state(state)),
            Cell::toned(ops_state, tone_of_ops_state(ops_state)),
            players_of(server).into(),
            Addresses::of(server).best().unwrap_or_default().into(),
            Cell::toned(leaving(server).unwrap_or_default(), Tone::Warn),
            age::since(created(meta), now).into(),
        ]);
        if self.wide {
            row.extend(wide(server));
        }
        row
    }
}

/// `7`, or `7/16` where the server said how many it takes.
fn players_of(server: &GameServer) -> String {
    match players(server) {
        None => String::new(),
        Some((count, None)) => count.to_string(),
        Some((count, Some(capacity))) => format!("{count}/{capacity}"),
    }
}

fn wide(server: &GameServer) -> Vec<Cell> {
    let status = server.status.clone().unwrap_or_default();
    let report = status.reported.unwrap_or_default();
    let pod_ip = Addresses::of(server).pod_ip;
    let priority = |value: &Option<api_types::IntOrString>| {
        value.as_ref().map_or_else(|| "0".to_owned(), ToString::to_string)
    };
    vec![
        status.node_name.unwrap_or_default().into(),
        pod_ip.unwrap_or_default().into(),
        report
            .health
            .map(|health| health.to_string())
            .unwrap_or_default()
            .into(),
        report
            .state
            .map(|state| state.to_string())
            .unwrap_or_default()
            .into(),
        priority(&server.spec.update_priority).into(),
        priority(&server.spec.deletion_priority).into(),
    ]
}

/// Prints what is there, then each server again when something that is shown has changed.
async fn follow(
    session: &Session,
    args: &List,
    filter: &Filter,
    labels: Option<&str>,
    style: Style,
) -> Result<(), Error> {
    let api = read::dynamic::<GameServer>(&session.client, session.scope(args.all_namespaces));
    let config = watcher::Config {
        label_selector: labels.map(str::to_owned),
        ..watcher::Config::default()
    };
    let events = watcher::watcher(api, config);
    pin_mut!(events);
    let mut screen = Screen::new(args, style);
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => screen.first.clear(),
            Ok(Event::InitApply(object)) => screen.first.extend(decoded(object, filter)),
            Ok(Event::InitDone) => screen.all()?,
            Ok(Event::Apply(object)) => {
                if let Some(found) = decoded(object, filter) {
                    screen.one(&found, false)?;
                }
            }
            Ok(Event::Delete(object)) => {
                if let Some(found) = decoded(object, filter) {
                    screen.one(&found, true)?;
                }
            }
            Err(watcher::Error::InitialListFailed(error)) => return Err(error.into()),
            // The watcher begins again by itself.
            Err(error) => eprintln!("warning: {error}; trying again"),
        }
    }
    Ok(())
}

fn decoded(object: DynamicObject, filter: &Filter) -> Option<Object<GameServer>> {
    let found = serde_json::to_value(object)
        .ok()
        .and_then(Object::<GameServer>::of)?;
    filter.lets(&found.object).then_some(found)
}

/// What was printed, so that a change of something that is not shown prints nothing.
struct Screen<'a> {
    args: &'a List,
    style: Style,
    columns: Columns,
    widths: Widths,
    headers: bool,
    first: Vec<Object<GameServer>>,
    shown: BTreeMap<(String, String), Vec<String>>,
}

impl<'a> Screen<'a> {
    fn new(args: &'a List, style: Style) -> Self {
        Self {
            args,
            style,
            columns: Columns::of(args),
            widths: Widths::default(),
            headers: !args.no_headers,
            first: Vec::new(),
            shown: BTreeMap::new(),
        }
    }

    /// What a list gave; after the first one only what differs from before.
    fn all(&mut self) -> Result<(), Error> {
        let mut first = std::mem::take(&mut self.first);
        first.sort_by(|a, b| rank(&a.object.metadata).cmp(&rank(&b.object.metadata)));
        let mut new = Vec::new();
        for found in first {
            if self.is_new(&found.object, false) {
                new.push(found);
            }
        }
        self.print(&new)
    }

    fn one(&mut self, found: &Object<GameServer>, deleted: bool) -> Result<(), Error> {
        if self.is_new(&found.object, deleted) {
            self.print(std::slice::from_ref(found))?;
        }
        Ok(())
    }

    fn is_new(&mut self, server: &GameServer, deleted: bool) -> bool {
        let key = (
            namespace(&server.metadata).to_owned(),
            name(&server.metadata).to_owned(),
        );
        if deleted {
            return self.shown.remove(&key).is_some();
        }
        // At one fixed time: age changes all the time, and is no change of the server.
        let row = self.columns.row(server, Timestamp::UNIX_EPOCH);
        let texts: Vec<String> = row.iter().map(|cell| cell.text().to_owned()).collect();
        self.shown.insert(key, texts.clone()) != Some(texts)
    }

    fn print(&mut self, found: &[Object<GameServer>]) -> Result<(), Error> {
        if found.is_empty() {
            return Ok(());
        }
        match self.args.output {
            Format::Table | Format::Wide => {
                let mut table = Table::new(self.columns.headers());
                let now = Timestamp::now();
                for found in found {
                    table.push(self.columns.row(&found.object, now));
                }
                let headers = std::mem::take(&mut self.headers);
                output::print(&table.render_in(&mut self.widths, headers, self.style))
            }
            _ => {
                for found in found {
                    print_all(vec![found.clone()], self.args, true, self.style)?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(state: &str, ops_state: &str) -> GameServer {
        serde_json::from_value(json!({
            "metadata": {"name": "arena-3", "namespace": "games", "labels": {"game.kruise.io/owner-gss": "arena"},
                "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"opsState": ops_state},
            "status": {"currentState": state, "podStatus": {"podIP": "10.0.0.3"},
                "players": {"count": 3, "capacity": 16}, "reported": {"podUID": "p1", "health": "Healthy"}},
        }))
        .unwrap()
    }

    #[test]
    fn filters_are_alternatives_within_and_conditions_between() {
        let filter = Filter {
            states: vec!["ready".into(), "NotReady".into()],
            ops_states: vec!["None".into()],
            ..Filter::default()
        };
        assert!(filter.lets(&server("Ready", "")));
        assert!(filter.lets(&server("NotReady", "None")));
        assert!(!filter.lets(&server("Ready", "Allocated")));
        assert!(!filter.lets(&server("Creating", "None")));
        let named = Filter {
            names: vec!["arena-4".into()],
            ..Filter::default()
        };
        assert!(!named.lets(&server("Ready", "None")));
    }

    #[test]
    fn rows_have_a_cell_for_each_header() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        for (namespace, wide) in [(false, false), (true, true)] {
            let columns = Columns { namespace, wide };
            let row = columns.row(&server("Ready", "Allocated"), now);
            assert_eq!(row.len(), columns.headers().len());
        }
        let columns = Columns {
            namespace: false,
            wide: false,
        };
        let row = columns.row(&server("Ready", "Allocated"), now);
        let texts: Vec<&str> = row.iter().map(Cell::text).collect();
        assert_eq!(
            texts,
            [
                "arena-3",
                "arena",
                "Ready",
                "Allocated",
                "3/16",
                "10.0.0.3",
                "-",
                "60s"
            ]
        );
    }
}
