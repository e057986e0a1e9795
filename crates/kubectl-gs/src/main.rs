//! `kubectl-gs`: see the library.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    kubectl_gs::main().await
}
