//! `cargo xtask local`: a cluster with the controllers, left to whoever wants to try things, and what their shell needs for it.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::bench::game_api::localhost_pair;
use crate::cluster::{self, Cluster, Nodes};
use crate::fleet::{Fleet, FleetOptions, Profile, build_controllers};

/// Flags of `cargo xtask local`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The cluster's name; one of this name is ended first.
    #[arg(long, default_value = "local")]
    name: String,
    /// Its nodes, simulated ones.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=200))]
    nodes: u32,
    /// Build of the controllers.
    #[arg(long, value_enum, default_value = "dev")]
    profile: Profile,
}

/// Starts all of it and prints the variables.
///
/// # Errors
/// When a part does not build or start; the cluster is left for a look.
pub async fn run(options: Options) -> Result<()> {
    let root = crate::cluster::paths::repo_root();
    cluster::down(&options.name).await?;
    let nodes = Nodes {
        kwok: options.nodes,
        kubelet: false,
    };
    let running = cluster::up(&cluster::Spec::new(&options.name, nodes)).await?;
    let port = e2e::ports::free()?;
    let address = format!("https://localhost:{port}");
    localhost_pair(&running.dir)?;
    let fleet_options = FleetOptions {
        profile: options.profile,
        gss_args: vec![format!("--game-api-url={address}")],
        game_api: Some(game_api_flags(&running.dir, port)),
        cluster_dir: Some(running.dir.clone()),
        outlives: true,
        ..Default::default()
    };
    let fleet = Fleet::start(&root, &running.kubeconfig, &fleet_options).await?;
    eprintln!(
        "cluster {} with the controllers is up; their logs are in {}\nend both with: cargo xtask cluster down --name {}",
        options.name,
        fleet.directory.display(),
        options.name
    );
    fleet.leave_running();
    let programs = build_controllers(&root, options.profile).await?;
    print!("{}", exports(&running, &programs, &address)?);
    Ok(())
}

fn game_api_flags(directory: &Path, port: u16) -> Vec<String> {
    vec![
        format!("--listen-address=127.0.0.1:{port}"),
        format!("--tls-cert-file={}", directory.join("tls.crt").display()),
        format!("--tls-key-file={}", directory.join("tls.key").display()),
    ]
}

/// What a shell has to be told: the cluster, kubectl and its plugin, and game-api with the certificate it is trusted by.
fn exports(running: &Cluster, programs: &Path, game_api: &str) -> Result<String> {
    let text = |path: &Path| path.to_str().map(quoted).context("a path is no text");
    // A kubectl that is found in PATH already has no folder here.
    let kubectl = running.kubectl.parent().filter(|folder| folder.is_absolute());
    let kubectl = kubectl.unwrap_or(programs);
    Ok(format!(
        "export KUBECONFIG={}\nexport PATH={}:{}:\"$PATH\"\nexport GAME_API={} GAME_API_CA={}\n",
        text(&running.kubeconfig)?,
        text(kubectl)?,
        text(programs)?,
        quoted(game_api),
        text(&running.dir.join("tls.crt"))?,
    ))
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_quoted_text_is_one_word_to_a_shell() {
        for text in ["/a b/c", "it's", "$(false)", ""] {
            let script = format!("printf %s {}", quoted(text));
            let output = std::process::Command::new("bash")
                .args(["-c", &script])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }
}
