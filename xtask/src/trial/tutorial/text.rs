//! A tutorial's commands, and what they are said to print, out of its Markdown. Pure.

use anyhow::{Result, bail};

/// The fence of commands.
const COMMANDS: &str = "```sh";
/// The fence of what the commands before it print.
const OUTPUT: &str = "```text";
const FENCE: &str = "```";

/// A block of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// Line of its fence, from 1.
    pub(super) line: usize,
    /// What is given to the shell.
    pub(super) script: String,
    /// What it is said to print; `None` where nothing is said.
    pub(super) shown: Option<Shown>,
}

/// A block of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// Its lines.
    pub(super) text: String,
    /// Line of its fence, from 1.
    line: usize,
}

/// Reads every block of commands in order. An output belongs to the commands before it, whatever prose is between them.
///
/// # Errors
/// Naming the line, where a fence is not closed or an output has no commands.
pub(super) fn steps(markdown: &str) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = markdown.lines().enumerate();
    while let Some((at, opening)) = lines.next() {
        if !opening.starts_with(FENCE) {
            continue;
        }
        let line = at + 1;
        let mut body = Vec::new();
        loop {
            let Some((_, text)) = lines.next() else {
                bail!("line {line}: the fence is not closed");
            };
            if text == FENCE {
                break;
            }
            body.push(text);
        }
        let text: String = body.iter().flat_map(|line| [*line, "\n"]).collect();
        match opening {
            COMMANDS => steps.push(Step {
                line,
                script: text,
                shown: None,
            }),
            OUTPUT => {
                let Some(step) = steps.last_mut().filter(|step| step.shown.is_none()) else {
                    bail!("line {line}: no commands print this");
                };
                step.shown = Some(Shown { text, line });
            }
            _ => {}
        }
    }
    Ok(steps)
}

/// The same text with what the steps printed in place of what it showed, where that is something else.
pub(super) fn rewritten(markdown: &str, steps: &[Step], printed: &[String]) -> String {
    let mut lines: Vec<&str> = markdown.lines().collect();
    // From the end, so that the numbers of lines before stay what they are.
    for (step, printed) in steps.iter().zip(printed).rev() {
        let Some(shown) = &step.shown else { continue };
        if super::compare::difference(&shown.text, printed).is_none() {
            continue;
        }
        let count = shown.text.lines().count();
        lines.splice(shown.line..shown.line + count, printed.trim_end().lines());
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Title\n\n```sh\none\ntwo\n```\n\nIt says:\n\n```text\nOne 5s\n```\n\n```yaml\na: 1\n```\n\n```sh\nthree\n```\n";

    #[test]
    fn commands_and_outputs_are_read_in_order() {
        let steps = steps(PAGE).unwrap();
        let read: Vec<(usize, &str, Option<&str>)> = steps
            .iter()
            .map(|step| {
                let shown = step.shown.as_ref().map(|shown| shown.text.as_str());
                (step.line, step.script.as_str(), shown)
            })
            .collect();
        assert_eq!(read, [(3, "one\ntwo\n", Some("One 5s\n")), (18, "three\n", None)]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let said = |text: &str| steps(text).unwrap_err().to_string();
        assert_eq!(said("a\n```text\nb\n```\n"), "line 2: no commands print this");
        assert_eq!(said("```sh\nb\n"), "line 1: the fence is not closed");
        let twice = "```sh\na\n```\n```text\nb\n```\n```text\nc\n```\n";
        assert_eq!(said(twice), "line 7: no commands print this");
    }

    #[test]
    fn only_what_differs_is_written_anew() {
        let steps = steps(PAGE).unwrap();
        let same = rewritten(PAGE, &steps, &["One 7s\n".into(), String::new()]);
        assert_eq!(same, PAGE);
        let other = rewritten(PAGE, &steps, &["Two\nThree\n".into(), String::new()]);
        assert_eq!(other, PAGE.replace("One 5s", "Two\nThree"));
    }
}
