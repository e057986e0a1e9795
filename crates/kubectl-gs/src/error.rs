//! Why a command did not do what it was asked for, and the exit code that says so.

use controller_kit::{client::ClientError, write::WriteError};

/// What ended a command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command cannot be understood, or asks for what makes no sense.
    #[error("error: {0}")]
    Usage(String),
    /// No server can be allocated.
    #[error("error: {0}")]
    NothingFree(String),
    /// Something did not happen in time.
    #[error("error: {0}")]
    Timeout(String),
    /// Asked for with `--exit-code`: there are some.
    #[error("{0}")]
    Found(String),
    /// The cluster cannot be used.
    #[error("error: {0}")]
    Client(#[from] ClientError),
    /// The API server refused a read, or cannot be reached.
    #[error("{}", server_said(.0))]
    Read(Box<kube::Error>),
    /// A write was refused.
    #[error("error: {what}: {error}")]
    Write {
        /// What was being done.
        what: String,
        /// What the API server said.
        error: WriteError,
    },
    /// What was asked about is not there, or not as it would have to be.
    #[error("error: {0}")]
    Refused(String),
    /// Standard output.
    #[error("error: cannot write the output: {0}")]
    Output(std::io::Error),
}

impl Error {
    /// The exit code. `docs/kubectl-gs.md` lists them.
    pub fn code(&self) -> u8 {
        match self {
            // Whoever reads has seen enough, as with `| head`.
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
            Self::Usage(_) => 2,
            Self::NothingFree(_) => 3,
            Self::Timeout(_) => 4,
            Self::Found(_) => 5,
            Self::Client(_) | Self::Read(_) | Self::Write { .. } | Self::Refused(_) | Self::Output(_) => 1,
        }
    }

    /// A write that did not happen.
    pub fn write(what: impl Into<String>, error: WriteError) -> Self {
        Self::Write {
            what: what.into(),
            error,
        }
    }

    /// There is no object of this name.
    pub fn not_found(plural: &str, name: &str) -> Self {
        Self::Refused(format!("{plural} {name:?} not found"))
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Read(Box::new(error))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

/// kubectl's words for a refusal; on one line in any case.
fn server_said(error: &kube::Error) -> String {
    let text = match error {
        kube::Error::Api(status) => format!("Error from server ({}): {}", status.reason, status.message),
        other => {
            let mut text = format!("error: {other}");
            // hyper says only "client error (Connect)" at the top; the causes say why.
            let mut cause = std::error::Error::source(other);
            while let Some(error) = cause {
                let detail = error.to_string();
                if !text.contains(&detail) {
                    text.push_str(": ");
                    text.push_str(&detail);
                }
                cause = error.source();
            }
            text
        }
    };
    crate::table::one_line(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let pipe = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let codes = [
            (Error::Refused(String::new()), 1),
            (Error::write("allocate", WriteError::NotFound), 1),
            (Error::Usage(String::new()), 2),
            (Error::NothingFree(String::new()), 3),
            (Error::Timeout(String::new()), 4),
            (Error::Found(String::new()), 5),
            (Error::Output(pipe), 0),
        ];
        for (error, code) in codes {
            assert_eq!(error.code(), code, "{error:?}");
        }
    }
}
