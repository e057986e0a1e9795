//! Colours. What a colour means is decided where the text is made; whether there are colours, once, at the start.

use std::io::stdout;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style as Ansi};
use clap::ValueEnum;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum When {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Also into files and pipes.
    Always,
    /// Never.
    Never,
}

/// What a text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// All is well.
    Good,
    /// On its way, or taken.
    Busy,
    /// Someone should look.
    Warn,
    /// Something is wrong.
    Bad,
    /// Less important than the rest.
    Dim,
    /// A heading.
    Strong,
}

/// Whether there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    colours: bool,
}

impl Style {
    /// No colours.
    pub const PLAIN: Self = Self { colours: false };

    /// As the flag, the environment and standard output say.
    pub fn of(when: When) -> Self {
        let colours = match when {
            When::Always => true,
            When::Never => false,
            When::Auto => AutoStream::choice(&stdout()) != ColorChoice::Never,
        };
        Self { colours }
    }

    /// The text in the colour of its tone.
    pub fn paint(self, text: &str, tone: Tone) -> String {
        let style = match tone {
            _ if !self.colours || text.trim().is_empty() => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Busy => AnsiColor::Cyan.on_default(),
            Tone::Warn => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default(),
            Tone::Dim => Ansi::new().dimmed(),
            Tone::Strong => Ansi::new().bold(),
        };
        format!("{style}{text}{style:#}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_colours_is_the_text() {
        assert_eq!(Style::PLAIN.paint("Ready", Tone::Good), "Ready");
    }

    #[test]
    fn a_colour_ends_after_its_text_and_blanks_have_none() {
        let style = Style { colours: true };
        assert_eq!(style.paint("Crash", Tone::Bad), "\u{1b}[31mCrash\u{1b}[0m");
        assert_eq!(style.paint("Crash", Tone::Plain), "Crash");
        assert_eq!(style.paint("  ", Tone::Bad), "  ");
    }
}
