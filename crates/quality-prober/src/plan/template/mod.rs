//! Templates over a probe's result (pure): the part of Go's text/template that people write in actions.
//!
//! ```text
//! {{ .Result }}    {{- .Result -}}
//! {{ if gt .Result "80" }}Busy{{ else if eq .Result "" }}Empty{{ else }}Idle{{ end }}
//! ```
//!
//! `.Result`, texts in quotes, numbers; `if`, `else if`, `else`, `end`; `eq ne lt le gt ge` of two operands, `and`, `or`,
//! `not`, parentheses. `lt le gt ge` compare as numbers where both operands are numbers, else as text; `eq` and `ne` compare as
//! text. Everything else is an error that names it, and nothing of the template is written then.

mod lexer;
mod parser;
mod value;

use parser::{Expr, Node};
use value::Value;

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// A word, variable, pipe or other thing of Go's that is not available.
    #[error(
        "`{0}` is not available in a template: use .Result, texts in quotes, if, else, end, eq, ne, lt, le, gt, ge, and, or, not"
    )]
    NotAvailable(String),
    /// Something is missing, or where it may not be.
    #[error("{0}")]
    Malformed(String),
}

/// A template that can be rendered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template(Vec<Node>);

/// Whether `text` is a template rather than plain text.
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{")
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Names the first thing that is not understood.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        parser::parse(&lexer::lex(text)?).map(Self)
    }

    /// The text for this result.
    ///
    /// # Errors
    /// When a truth value is compared with a text.
    pub(crate) fn render(&self, result: &str) -> Result<String, TemplateError> {
        let mut out = String::new();
        render(&self.0, result, &mut out)?;
        Ok(out)
    }
}

/// `text` for this result; plain text is itself.
///
/// # Errors
/// When it is a template that cannot be used.
pub(crate) fn rendered(text: &str, result: &str) -> Result<String, TemplateError> {
    if is_template(text) {
        Template::parse(text)?.render(result)
    } else {
        Ok(text.to_owned())
    }
}

fn render(nodes: &[Node], result: &str, out: &mut String) -> Result<(), TemplateError> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Print(expr) => out.push_str(eval(expr, result)?.text()),
            Node::If { branches, otherwise } => {
                let mut chosen = otherwise.as_slice();
                for (condition, body) in branches {
                    if eval(condition, result)?.is_true() {
                        chosen = body;
                        break;
                    }
                }
                render(chosen, result, out)?;
            }
        }
    }
    Ok(())
}

fn eval<'a>(expr: &'a Expr, result: &'a str) -> Result<Value<'a>, TemplateError> {
    Ok(match expr {
        Expr::Result => Value::Text(result),
        Expr::Literal(text) => Value::Text(text),
        Expr::Compare(how, left, right) => Value::Bool(how.holds(eval(left, result)?, eval(right, result)?)?),
        Expr::Not(operand) => Value::Bool(!eval(operand, result)?.is_true()),
        // As in Go: the first operand that decides, itself.
        Expr::And(operands) => decide(operands, result, false)?,
        Expr::Or(operands) => decide(operands, result, true)?,
    })
}

fn decide<'a>(operands: &'a [Expr], result: &'a str, on: bool) -> Result<Value<'a>, TemplateError> {
    let mut last = Value::Bool(!on);
    for operand in operands {
        last = eval(operand, result)?;
        if last.is_true() == on {
            break;
        }
    }
    Ok(last)
}

#[cfg(test)]
mod tests;
