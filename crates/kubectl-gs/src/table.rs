//! Tables as kubectl prints them: columns padded to their widest cell, three spaces between them. Pure.

use crate::style::{Style, Tone};

const GAP: usize = 3;

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell with a tone. Control characters, which others may have written into a field, become spaces: a cell is one line.
    pub fn toned(text: impl Into<String>, tone: Tone) -> Self {
        let text: String = text.into();
        let text = if text.is_empty() { "-".to_owned() } else { text };
        Self {
            text: one_line(&text),
            tone,
        }
    }

    /// The text, without its colour.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// The text on one line, and harmless to a terminal.
pub fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// Widths of columns, kept while rows follow one by one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Widths(Vec<usize>);

impl Table {
    /// An empty table.
    pub fn new(headers: Vec<&'static str>) -> Self {
        Self {
            headers,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, its last line ended.
    pub fn render(&self, with_headers: bool, style: Style) -> String {
        self.render_in(&mut Widths::default(), with_headers, style)
    }

    /// As [`render`](Self::render), with columns at least as wide as they were before.
    pub fn render_in(&self, widths: &mut Widths, with_headers: bool, style: Style) -> String {
        widths.0.resize(self.headers.len().max(widths.0.len()), 0);
        // Headers count also where they are not printed again: rows that follow stand below them.
        for (width, header) in widths.0.iter_mut().zip(&self.headers) {
            *width = (*width).max(header.len());
        }
        for row in &self.rows {
            for (width, cell) in widths.0.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        let mut text = String::new();
        if with_headers {
            let headers: Vec<Cell> = self.headers.iter().map(|header| Cell::from(*header)).collect();
            line(&mut text, &headers, &widths.0, style);
        }
        for row in &self.rows {
            line(&mut text, row, &widths.0, style);
        }
        text
    }
}

fn line(text: &mut String, row: &[Cell], widths: &[usize], style: Style) {
    for (at, cell) in row.iter().enumerate() {
        text.push_str(&style.paint(&cell.text, cell.tone));
        if at + 1 < row.len() {
            let width = widths.get(at).copied().unwrap_or_default();
            let pad = width.saturating_sub(cell.text.chars().count()) + GAP;
            text.extend(std::iter::repeat_n(' ', pad));
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(rows: &[[&str; 2]]) -> Table {
        let mut table = Table::new(vec!["NAME", "STATE"]);
        for row in rows {
            table.push(row.iter().map(|text| Cell::from(*text)).collect());
        }
        table
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let table = table(&[["arena-10", "Ready"], ["a-1", ""]]);
        assert_eq!(
            table.render(true, Style::PLAIN),
            "NAME       STATE\narena-10   Ready\na-1        -\n"
        );
    }

    #[test]
    fn rows_that_follow_stand_below_the_first() {
        let mut widths = Widths::default();
        table(&[["arena-10", "Ready"]]).render_in(&mut widths, true, Style::PLAIN);
        let later = table(&[["a-1", "Creating"]]).render_in(&mut widths, false, Style::PLAIN);
        assert_eq!(later, "a-1        Creating\n");
    }

    #[test]
    fn a_cell_is_one_line_whatever_was_written_into_it() {
        let table = table(&[["a\nb\u{1b}[2J", "x"]]);
        assert_eq!(table.render(false, Style::PLAIN), "a b [2J   x\n");
    }

    proptest! {
        /// Every column begins at the same place in every line.
        #[test]
        fn columns_line_up(rows in prop::collection::vec(("[a-zé]{1,12}", "[a-zé]{1,12}"), 1..8)) {
            let mut table = Table::new(vec!["A", "B"]);
            for (a, b) in &rows {
                table.push(vec![a.as_str().into(), b.as_str().into()]);
            }
            let text = table.render(true, Style::PLAIN);
            let widest = rows.iter().map(|(a, _)| a.chars().count()).max().unwrap_or(0).max(1);
            for (line, b) in text.lines().skip(1).zip(rows.iter().map(|(_, b)| b)) {
                let second: String = line.chars().skip(widest + GAP).collect();
                prop_assert_eq!(&second, b);
            }
            prop_assert_eq!(text.lines().count(), rows.len() + 1);
        }
    }
}
