//! From pieces to a tree.

use super::{
    TemplateError,
    lexer::{Piece, Token},
    value::Comparison,
};

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    Print(Expr),
    If {
        /// Conditions and what is written under them, in order.
        branches: Vec<(Expr, Vec<Self>)>,
        otherwise: Vec<Self>,
    },
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    Result,
    Literal(String),
    Compare(Comparison, Box<Self>, Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
}

/// Deeper nesting is nobody's template, and recursion has an end this way.
const MAX_DEPTH: usize = 32;

pub(super) fn parse(pieces: &[Piece]) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser { pieces, at: 0 };
    let (nodes, end) = parser.nodes(0)?;
    match end {
        End::Template => Ok(nodes),
        End::Else(_) | End::Closed => Err(malformed("an else or end without its if")),
    }
}

fn malformed(text: &str) -> TemplateError {
    TemplateError::Malformed(text.to_owned())
}

/// What a list of nodes ended with.
enum End {
    Template,
    Closed,
    /// `else`, with the condition of an `else if`.
    Else(Option<Expr>),
}

struct Parser<'a> {
    pieces: &'a [Piece],
    at: usize,
}

impl Parser<'_> {
    fn nodes(&mut self, depth: usize) -> Result<(Vec<Node>, End), TemplateError> {
        if depth > MAX_DEPTH {
            return Err(malformed("too many ifs within each other"));
        }
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.get(self.at) {
            self.at += 1;
            let tokens = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text.clone()));
                    continue;
                }
                Piece::Action(tokens) => tokens.as_slice(),
            };
            match tokens {
                [Token::Word(word), condition @ ..] if word == "if" => {
                    let condition = whole(condition)?;
                    nodes.push(self.branches(condition, depth)?);
                }
                [Token::Word(word)] if word == "end" => return Ok((nodes, End::Closed)),
                [Token::Word(word)] if word == "else" => return Ok((nodes, End::Else(None))),
                [Token::Word(first), Token::Word(second), condition @ ..]
                    if first == "else" && second == "if" =>
                {
                    return Ok((nodes, End::Else(Some(whole(condition)?))));
                }
                tokens => nodes.push(Node::Print(whole(tokens)?)),
            }
        }
        Ok((nodes, End::Template))
    }

    fn branches(&mut self, condition: Expr, depth: usize) -> Result<Node, TemplateError> {
        let mut branches = Vec::new();
        let mut condition = condition;
        loop {
            let (body, end) = self.nodes(depth + 1)?;
            branches.push((condition, body));
            match end {
                End::Template => return Err(malformed("an if without its end")),
                End::Closed => {
                    return Ok(Node::If {
                        branches,
                        otherwise: Vec::new(),
                    });
                }
                End::Else(Some(next)) => condition = next,
                End::Else(None) => break,
            }
        }
        match self.nodes(depth + 1)? {
            (otherwise, End::Closed) => Ok(Node::If { branches, otherwise }),
            _ => Err(malformed("an else that no end follows")),
        }
    }
}

/// An expression that takes all of `tokens`.
fn whole(tokens: &[Token]) -> Result<Expr, TemplateError> {
    let (expr, rest) = call(tokens, 0)?;
    match rest.first() {
        None => Ok(expr),
        Some(Token::Close) => Err(malformed("a ) without its (")),
        Some(token) => Err(malformed(&format!("{} is one too many", shown(token)))),
    }
}

/// A function with its operands, or one operand.
fn call(tokens: &[Token], depth: usize) -> Result<(Expr, &[Token]), TemplateError> {
    if depth > MAX_DEPTH {
        return Err(malformed("too many parentheses within each other"));
    }
    let Some(Token::Word(name)) = tokens.first() else {
        return operand(tokens, depth);
    };
    let mut rest = &tokens[1..];
    let mut operands = Vec::new();
    // Known before its operands: an unknown function's are of no interest.
    let known = Comparison::named(name).is_some() || matches!(name.as_str(), "and" | "or" | "not");
    if !known {
        return Err(not_here(name));
    }
    while !matches!(rest.first(), None | Some(Token::Close)) {
        let (next, after) = operand(rest, depth)?;
        operands.push(next);
        rest = after;
    }
    Ok((function(name, operands)?, rest))
}

fn function(name: &str, operands: Vec<Expr>) -> Result<Expr, TemplateError> {
    let given = operands.len();
    let wrong = |wanted: &str| malformed(&format!("{name} takes {wanted}, not {given}"));
    let Some(comparison) = Comparison::named(name) else {
        return match name {
            "not" => match <[Expr; 1]>::try_from(operands) {
                Ok([operand]) => Ok(Expr::Not(Box::new(operand))),
                Err(_) => Err(wrong("one operand")),
            },
            _ if operands.is_empty() => Err(wrong("at least one operand")),
            "and" => Ok(Expr::And(operands)),
            _ => Ok(Expr::Or(operands)),
        };
    };
    match <[Expr; 2]>::try_from(operands) {
        Ok([left, right]) => Ok(Expr::Compare(comparison, Box::new(left), Box::new(right))),
        Err(_) => Err(wrong("two operands")),
    }
}

fn operand(tokens: &[Token], depth: usize) -> Result<(Expr, &[Token]), TemplateError> {
    let Some((first, rest)) = tokens.split_first() else {
        return Err(malformed("something to write or to compare is missing"));
    };
    match first {
        Token::Result => Ok((Expr::Result, rest)),
        Token::Literal(text) => Ok((Expr::Literal(text.clone()), rest)),
        Token::Open => {
            let (inner, rest) = call(rest, depth + 1)?;
            match rest.split_first() {
                Some((Token::Close, rest)) => Ok((inner, rest)),
                _ => Err(malformed("a ( without its )")),
            }
        }
        Token::Close => Err(malformed("a ) without its (")),
        Token::Word(word) => Err(not_here(word)),
    }
}

/// A word that is not available, or not at this place.
fn not_here(word: &str) -> TemplateError {
    let known =
        ["if", "else", "end", "and", "or", "not"].contains(&word) || Comparison::named(word).is_some();
    if known {
        malformed(&format!(
            "`{word}` cannot be at this place; put a function that is an operand in parentheses"
        ))
    } else {
        TemplateError::NotAvailable(word.to_owned())
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Result => ".Result".to_owned(),
        Token::Literal(text) => format!("{text:?}"),
        Token::Word(word) => word.clone(),
        Token::Open => "(".to_owned(),
        Token::Close => ")".to_owned(),
    }
}
