//! `top`: what the sets have, and how full they are.

use std::collections::BTreeMap;

use api_types::{GameServer, GameServerSet, ops_state};
use serde_json::json;

use crate::{
    cli::{Format, Top},
    connect::Session,
    error::Error,
    output, read,
    style::{Style, Tone},
    table::{Cell, Table},
    top::{Load, loads},
};

/// Runs the command.
///
/// # Errors
/// When the cluster can't be read, or a set that is named is not there.
pub async fn run(session: &Session, args: Top, style: Style) -> Result<(), Error> {
    for name in &args.sets {
        read::check_name(name)?;
    }
    let scope = session.scope(args.all_namespaces);
    let sets = read::list::<GameServerSet>(&session.client, scope, None).await?;
    let servers = read::list::<GameServer>(&session.client, scope, None).await?;
    let sets: Vec<GameServerSet> = sets.into_iter().map(|set| set.object).collect();
    let servers: Vec<GameServer> = servers.into_iter().map(|server| server.object).collect();
    let mut loads = loads(&sets, &servers);
    if let Some(name) = args
        .sets
        .iter()
        .find(|name| loads.iter().all(|load| load.name != **name))
    {
        return Err(Error::not_found("gameserversets.game.kruise.io", name));
    }
    loads.retain(|load| args.sets.is_empty() || args.sets.contains(&load.name));
    match args.output {
        Format::Json => output::json(&json!({ "items": loads })),
        Format::Yaml => output::yaml(&json!({ "items": loads })),
        Format::Name => {
            let names = loads
                .iter()
                .map(|load| format!("gameserverset.game.kruise.io/{}", load.name));
            output::print(&output::lines(names))
        }
        Format::Table | Format::Wide if loads.is_empty() => {
            let place = scope.map_or_else(String::new, |namespace| format!(" in {namespace} namespace"));
            eprintln!("No game server sets found{place}.");
            Ok(())
        }
        Format::Table | Format::Wide => output::print(&table(&loads, &args).render(!args.no_headers, style)),
    }
}

fn table(loads: &[Load], args: &Top) -> Table {
    let mut headers = if args.all_namespaces {
        vec!["NAMESPACE"]
    } else {
        Vec::new()
    };
    headers.extend([
        "NAME",
        "DESIRED",
        "SERVERS",
        "READY",
        "FREE",
        "ALLOCATED",
        "LEAVING",
    ]);
    headers.extend(["PLAYERS", "CAPACITY", "LOAD"]);
    let wide = args.output == Format::Wide;
    if wide {
        headers.extend(["STATES", "OPSSTATES"]);
    }
    let mut table = Table::new(headers);
    for load in loads {
        let mut row: Vec<Cell> = Vec::new();
        if args.all_namespaces {
            row.push(load.namespace.as_str().into());
        }
        row.extend(counts(load));
        if wide {
            row.push(each(&load.states).into());
            row.push(each(&load.ops_states).into());
        }
        table.push(row);
    }
    table
}

fn counts(load: &Load) -> [Cell; 10] {
    let ready = load.in_state("Ready");
    let all_ready = i64::from(ready) >= load.desired;
    let tone_of_ready = if all_ready { Tone::Good } else { Tone::Warn };
    let tone_of_free = if load.free == 0 { Tone::Warn } else { Tone::Plain };
    let known =
        |number: Option<u64>, unit: &str| number.map_or_else(String::new, |number| format!("{number}{unit}"));
    [
        load.name.as_str().into(),
        load.desired.to_string().into(),
        load.servers.to_string().into(),
        Cell::toned(ready.to_string(), tone_of_ready),
        Cell::toned(load.free.to_string(), tone_of_free),
        load.with_ops_state(ops_state::ALLOCATED).to_string().into(),
        load.leaving.to_string().into(),
        load.players.to_string().into(),
        known(load.capacity, "").into(),
        known(load.percent(), "%").into(),
    ]
}

fn each(counts: &BTreeMap<String, u32>) -> String {
    let each: Vec<String> = counts
        .iter()
        .map(|(what, count)| format!("{what}={count}"))
        .collect();
    each.join(",")
}
