//! `sync-gap`: servers whose Pods lag, and for how long.

use std::collections::HashMap;

use api_types::{GameServer, keys};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use crate::{
    age,
    cli::{Format, SyncGap},
    connect::Session,
    error::Error,
    gap::{Gap, Lag, gap},
    output, read,
    server::{name, namespace, rank},
    style::{Style, Tone},
    table::{Cell, Table},
};

/// From when on a gap is one: a change takes milliseconds.
const LATE_SECONDS: i64 = 2;

/// Runs the command.
///
/// # Errors
/// When the cluster can't be read; `Found` where that was asked for and there are some.
pub async fn run(session: &Session, args: SyncGap, style: Style) -> Result<(), Error> {
    let gaps = look(session, &args).await?;
    print(&gaps, &args, style)?;
    match gaps.len() {
        0 => Ok(()),
        1 if args.exit_code => Err(Error::Found("1 server lags".to_owned())),
        count if args.exit_code => Err(Error::Found(format!("{count} servers lag"))),
        _ => Ok(()),
    }
}

/// GameServers first, then Pods: what differs then is late.
async fn look(session: &Session, args: &SyncGap) -> Result<Vec<Gap>, Error> {
    let scope = session.scope(args.all_namespaces);
    let labels = read::labels(&args.selection)?;
    let mut servers = read::list::<GameServer>(&session.client, scope, labels.as_deref()).await?;
    servers.sort_by(|a, b| rank(&a.object.metadata).cmp(&rank(&b.object.metadata)));
    let pods = read::pod_metadata(&session.client, scope, keys::label::OWNER_GSS).await?;
    let key = |meta: &ObjectMeta| (namespace(meta).to_owned(), name(meta).to_owned());
    let pods: HashMap<_, _> = pods.into_iter().map(|pod| (key(&pod), pod)).collect();
    let gaps = servers.iter().filter_map(|server| {
        let server = &server.object;
        gap(server, pods.get(&key(&server.metadata))?)
    });
    Ok(gaps.collect())
}

fn print(gaps: &[Gap], args: &SyncGap, style: Style) -> Result<(), Error> {
    match args.output {
        Format::Json => return output::json(&json!({ "items": gaps })),
        Format::Yaml => return output::yaml(&json!({ "items": gaps })),
        Format::Name => {
            let names = gaps.iter().map(|gap| output::full_name(&gap.name));
            return output::print(&output::lines(names));
        }
        Format::Table | Format::Wide => {}
    }
    if gaps.is_empty() {
        eprintln!("Every Pod shows its GameServer.");
        return Ok(());
    }
    let now = Timestamp::now();
    output::print(&table(gaps, args, now).render(!args.no_headers, style))
}

fn table(gaps: &[Gap], args: &SyncGap, now: Timestamp) -> Table {
    let mut headers = if args.all_namespaces {
        vec!["NAMESPACE"]
    } else {
        Vec::new()
    };
    headers.extend(["NAME", "SET", "FOR", "LAGS"]);
    let wide = args.output == Format::Wide;
    if wide {
        headers.extend(["GENERATION", "SHOWN"]);
    }
    let mut table = Table::new(headers);
    for gap in gaps {
        let seconds = gap.since().map(|since| now.as_second() - since.as_second());
        let tone = match seconds {
            Some(seconds) if seconds > LATE_SECONDS => Tone::Bad,
            _ => Tone::Busy,
        };
        let mut row: Vec<Cell> = if args.all_namespaces {
            vec![gap.namespace.as_str().into()]
        } else {
            Vec::new()
        };
        let lags: Vec<String> = gap.lags.iter().map(sentence).collect();
        row.extend([
            gap.name.as_str().into(),
            gap.set.as_str().into(),
            Cell::toned(age::since(gap.since(), now), tone),
            lags.join(", ").into(),
        ]);
        if wide {
            row.push(gap.generation.to_string().into());
            row.push(
                gap.synced_generation
                    .map(|shown| shown.to_string())
                    .unwrap_or_default()
                    .into(),
            );
        }
        table.push(row);
    }
    table
}

/// One difference in words.
pub fn sentence(lag: &Lag) -> String {
    let shown = if lag.shown.is_empty() {
        "missing".to_owned()
    } else {
        format!("still {:?}", lag.shown)
    };
    if lag.wanted.is_empty() {
        format!("{} is {shown}, not removed", lag.what)
    } else {
        format!("{} {:?} is {shown}", lag.what, lag.wanted)
    }
}
