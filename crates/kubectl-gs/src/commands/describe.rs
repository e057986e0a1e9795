//! `describe`: all about a server, and what happened to it.

use api_types::{GameServer, IntOrString};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::{
    address::Addresses,
    age,
    cli::Describe,
    connect::Session,
    error::Error,
    output, read,
    server::{claim, name, namespace, ops_state, players, set, state, tone_of_ops_state, tone_of_state, uid},
    style::{Style, Tone},
    table::{Cell, Table, one_line},
    timeline::{Moment, Sources, timeline},
};

/// Runs the command.
///
/// # Errors
/// When a server is not there, or the cluster can't be read.
pub async fn run(session: &Session, args: Describe, style: Style) -> Result<(), Error> {
    let mut texts = Vec::new();
    for name in read::names(&args.names)? {
        let sources = sources(session, &name).await?;
        texts.push(text(&sources, args.times, Timestamp::now(), style));
    }
    output::print(&texts.join("\n\n"))
}

async fn sources(session: &Session, name: &str) -> Result<Sources, Error> {
    let (client, namespace) = (&session.client, session.namespace.as_str());
    let server = read::existing(client, namespace, name).await?;
    let (pod, events) = futures::future::join(
        read::pod(client, namespace, name),
        read::events(client, namespace, name),
    )
    .await;
    Ok(Sources {
        server,
        pod: pod?,
        events: events?,
    })
}

/// The description. Pure.
fn text(sources: &Sources, times: bool, now: Timestamp, style: Style) -> String {
    let server = &sources.server;
    let mut text = fields(&head(server, sources.pod.as_ref(), now), style);
    let conditions = server
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.conditions);
    if !conditions.is_empty() {
        text.push_str(&section("Conditions", style));
        let mut table = Table::new(vec!["TYPE", "STATUS", "FOR", "WHY"]);
        for found in conditions {
            let why = match (found.reason.as_deref(), found.message.as_deref()) {
                (None | Some(""), None | Some("")) => String::new(),
                (reason, message) => format!("{}: {}", reason.unwrap_or("-"), message.unwrap_or("-")),
            };
            let tone = if found.status == "True" {
                Tone::Good
            } else {
                Tone::Bad
            };
            table.push(vec![
                found.type_.as_str().into(),
                Cell::toned(found.status.as_str(), tone),
                age::since(age::parse(found.last_transition_time.as_deref()), now).into(),
                why.into(),
            ]);
        }
        text.push_str(&indented(&table.render(true, style)));
    }
    let moments = timeline(sources);
    text.push_str(&section("Timeline", style));
    text.push_str(&indented(&line(&moments, times, now).render(true, style)));
    text
}

fn section(title: &str, style: Style) -> String {
    format!("{}\n", style.paint(&format!("{title}:"), Tone::Strong))
}

fn indented(text: &str) -> String {
    output::lines(text.lines().map(|line| format!("  {line}")))
}

fn line(moments: &[Moment], times: bool, now: Timestamp) -> Table {
    let mut table = Table::new(vec![if times { "TIME" } else { "AGO" }, "WHERE", "WHAT"]);
    for moment in moments {
        let time = if times {
            moment.time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
        } else {
            age::since(Some(moment.time), now)
        };
        table.push(vec![
            time.into(),
            moment.source.as_str().into(),
            Cell::toned(moment.text.as_str(), moment.tone),
        ]);
    }
    table
}

type Row = (&'static str, String, Tone);

/// Name and value of what stands at the top; empty values are left out.
fn head(server: &GameServer, pod: Option<&Pod>, now: Timestamp) -> Vec<Row> {
    let mut rows = identity(server, now);
    rows.extend(play(server));
    rows.extend(place(server, pod));
    rows.retain(|(_, text, _)| !text.is_empty());
    rows
}

fn plain(name: &'static str, text: impl Into<String>) -> Row {
    (name, text.into(), Tone::Plain)
}

fn identity(server: &GameServer, now: Timestamp) -> Vec<Row> {
    let meta = &server.metadata;
    let (state, ops_state) = (state(server), ops_state(server));
    let claim = claim(server).map(|claim| {
        let since = age::since(age::parse(Some(&claim.time)), now);
        format!("{} for {since}; it can't be allocated any more", claim.reason)
    });
    let marked = if server.spec.marked_for_deletion == Some(true) {
        "for deletion"
    } else {
        ""
    };
    vec![
        plain("Name", name(meta)),
        plain("Namespace", namespace(meta)),
        plain("Set", set(meta).unwrap_or_default()),
        ("State", state.to_owned(), tone_of_state(state)),
        ("OpsState", ops_state.to_owned(), tone_of_ops_state(ops_state)),
        ("Leaving", claim.unwrap_or_default(), Tone::Warn),
        ("Marked", marked.to_owned(), Tone::Warn),
    ]
}

/// Where players are, and what the server says of itself.
fn play(server: &GameServer) -> Vec<Row> {
    let status = server.status.clone().unwrap_or_default();
    let network = status
        .network_status
        .and_then(|found| found.current_network_state);
    let players = players(server).map(|(count, capacity)| match capacity {
        Some(capacity) => format!("{count} of {capacity}"),
        None => count.to_string(),
    });
    let report = status.reported.unwrap_or_default();
    let said = |word: Option<String>| word.unwrap_or_default();
    vec![
        plain("Address", said(Addresses::of(server).best())),
        plain("Network", said(network)),
        plain("Players", said(players)),
        plain("Health", said(report.health.map(|health| health.to_string()))),
        plain("Match", said(report.state.map(|state| state.to_string()))),
    ]
}

fn place(server: &GameServer, pod: Option<&Pod>) -> Vec<Row> {
    let pod = pod.map(|pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        format!("{} ({})", uid(&pod.metadata), phase.unwrap_or("no phase"))
    });
    let spec = &server.spec;
    let node = server.status.as_ref().and_then(|status| status.node_name.clone());
    let priority = |value: Option<&IntOrString>| value.map_or_else(|| "0".to_owned(), ToString::to_string);
    let (update, deletion) = (
        priority(spec.update_priority.as_ref()),
        priority(spec.deletion_priority.as_ref()),
    );
    let overrides: Vec<&str> = spec
        .containers
        .iter()
        .map(|container| container.name.as_str())
        .collect();
    vec![
        plain("Pod", pod.unwrap_or_else(|| "none".to_owned())),
        plain("Node", node.unwrap_or_default()),
        plain("Priorities", format!("update {update}, deletion {deletion}")),
        plain("Overrides", overrides.join(", ")),
    ]
}

fn fields(rows: &[Row], style: Style) -> String {
    let line = |(name, text, tone): &Row| {
        let title = format!("{:<13}", format!("{name}:"));
        format!(
            "{}{}",
            style.paint(&title, Tone::Strong),
            style.paint(&one_line(text), *tone)
        )
    };
    output::lines(rows.iter().map(line))
}
