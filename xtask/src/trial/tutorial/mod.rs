//! `trial tutorial`: every command of docs/tutorial.md, as it stands there, against what it is said to print.

mod compare;
mod shell;
mod text;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::cluster;
use crate::cluster::paths::repo_root;

use shell::Shell;
use text::{Step, rewritten, steps};

/// Flags of `trial tutorial`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Write what the commands print into the page instead of comparing; read the difference before it is committed.
    #[arg(long)]
    write: bool,
}

const PAGE: &str = "docs/tutorial.md";
/// The cluster that the page makes.
const CLUSTER: &str = "tutorial";
/// The longest that a block may take: the first may have to build everything.
const LIMIT: Duration = Duration::from_mins(20);

/// Runs the trial.
///
/// # Errors
/// When the page can't be read, or a command prints something else than the page says.
pub(super) async fn run(options: Options) -> Result<()> {
    let root = repo_root();
    let file = root.join(PAGE);
    let page = std::fs::read_to_string(&file).with_context(|| format!("can't read {PAGE}"))?;
    let steps = steps(&page).with_context(|| PAGE.to_owned())?;
    let names_cluster = steps
        .iter()
        .any(|step| step.script.contains(&format!("--name {CLUSTER}")));
    ensure!(
        names_cluster,
        "{PAGE} doesn't make a cluster of the name {CLUSTER}"
    );
    let told = tell(&root, &steps, options.write).await;
    // The page ends what it started; where it did not come so far, this does.
    let left = cluster::down(CLUSTER).await?;
    let printed = told?;
    ensure!(!left, "{PAGE} leaves its cluster behind");
    if options.write {
        std::fs::write(&file, rewritten(&page, &steps, &printed))?;
    }
    println!("{} blocks of {PAGE}, as they stand there", steps.len());
    Ok(())
}

/// Runs the steps in one shell; gives what each printed.
async fn tell(root: &Path, steps: &[Step], write: bool) -> Result<Vec<String>> {
    let mut shell = Shell::start(root).await?;
    let mut all = Vec::new();
    for step in steps {
        print!("{}", step.script);
        let printed = tokio::time::timeout(LIMIT, shell.run(&step.script))
            .await
            .with_context(|| format!("{PAGE}:{}: not done within {} s", step.line, LIMIT.as_secs()))?
            .with_context(|| format!("{PAGE}:{}", step.line))?;
        print!("{printed}");
        let shown = step.shown.as_ref().map_or("", |shown| shown.text.as_str());
        // What nothing is said of may print what it likes, but not fail.
        let difference = match &step.shown {
            Some(_) => compare::difference(shown, &printed),
            None => printed
                .lines()
                .find(|line| line.starts_with(shell::FAILED))
                .map(str::to_owned),
        };
        match difference {
            Some(difference) if !write || step.shown.is_none() => {
                bail!(
                    "{PAGE}:{}: not what the page says\n{difference}\nall of it:\n{printed}",
                    step.line
                )
            }
            _ => all.push(printed),
        }
    }
    Ok(all)
}
