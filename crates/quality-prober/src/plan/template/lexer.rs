//! From the text of a template to texts and tokens.

use super::TemplateError;

/// A piece of a template: plain text, or what is between a pair of braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Action(Vec<Token>),
}

/// A token of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// `.Result`
    Result,
    /// A text in quotes, or a number as it is written.
    Literal(String),
    /// `if`, `eq`, …
    Word(String),
    Open,
    Close,
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";

pub(super) fn lex(template: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = template;
    let mut trim = false;
    loop {
        let (text, action) = match rest.split_once(LEFT) {
            Some((text, action)) => (text, Some(action)),
            None => (rest, None),
        };
        // `{{- ` eats the white space before it, ` -}}` that after it.
        let marked = action.and_then(|action| action.strip_prefix('-').filter(|it| it.starts_with(is_space)));
        let mut text = if trim {
            text.trim_start_matches(is_space)
        } else {
            text
        };
        if marked.is_some() {
            text = text.trim_end_matches(is_space);
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        let Some(action) = marked.or(action) else {
            return Ok(pieces);
        };
        let (tokens, after, trims) = lex_action(action)?;
        pieces.push(Piece::Action(tokens));
        (rest, trim) = (after, trims);
    }
}

/// The tokens up to the closing braces, what follows them, and whether they trim it.
fn lex_action(action: &str) -> Result<(Vec<Token>, &str, bool), TemplateError> {
    let mut tokens = Vec::new();
    let mut rest = action;
    loop {
        let trimmed = rest.trim_start_matches(is_space);
        let spaced = trimmed.len() < rest.len();
        rest = trimmed;
        if let Some(after) = rest.strip_prefix(RIGHT) {
            return Ok((tokens, after, false));
        }
        if let Some(after) = rest.strip_prefix("-}}").filter(|_| spaced) {
            return Ok((tokens, after, true));
        }
        let Some(first) = rest.chars().next() else {
            return Err(TemplateError::Malformed(format!("a {LEFT} without its {RIGHT}")));
        };
        let (token, after) = match first {
            '(' => (Token::Open, &rest[1..]),
            ')' => (Token::Close, &rest[1..]),
            '"' => quoted(rest)?,
            '`' => raw(rest)?,
            _ => word(rest)?,
        };
        tokens.push(token);
        rest = after;
    }
}

/// A text in double quotes, with `\"`, `\\`, `\n` and `\t`.
fn quoted(text: &str) -> Result<(Token, &str), TemplateError> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Token::Literal(value), &text[at + 1..])),
            '\\' => value.push(match chars.next() {
                Some((_, c @ ('"' | '\\'))) => c,
                Some((_, 'n')) => '\n',
                Some((_, 't')) => '\t',
                other => {
                    let other = other.map_or_else(String::new, |(_, c)| c.to_string());
                    return Err(TemplateError::NotAvailable(format!("\\{other}")));
                }
            }),
            c => value.push(c),
        }
    }
    Err(TemplateError::Malformed(
        "a text whose closing quote is missing".to_owned(),
    ))
}

fn raw(text: &str) -> Result<(Token, &str), TemplateError> {
    let inner = &text[1..];
    let (value, after) = inner
        .split_once('`')
        .ok_or_else(|| TemplateError::Malformed("a text whose closing ` is missing".to_owned()))?;
    Ok((Token::Literal(value.to_owned()), after))
}

fn word(text: &str) -> Result<(Token, &str), TemplateError> {
    let ends = |c: char| is_space(c) || matches!(c, '(' | ')' | '"' | '`' | '}' | '|' | '{');
    let end = text.find(ends).unwrap_or(text.len());
    // Something that is no word at all is shown as one character.
    let end = if end == 0 {
        text.chars().next().map_or(0, char::len_utf8)
    } else {
        end
    };
    let (word, after) = text.split_at(end);
    let token = if word == ".Result" {
        Token::Result
    } else if word.chars().all(|c| c.is_ascii_alphabetic()) {
        Token::Word(word.to_owned())
    } else if is_number(word) {
        Token::Literal(word.to_owned())
    } else {
        return Err(TemplateError::NotAvailable(word.to_owned()));
    };
    Ok((token, after))
}

fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && word.parse::<f64>().is_ok()
}

/// White space as Go's templates know it.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}
