//! What was printed, held against what a tutorial shows. Pure.
//!
//! Ages, times, addresses, UIDs, hashes of templates and names of nodes differ each time: on both sides they are taken for the same
//! word. How many spaces are between words depends on them and doesn't count. `…` stands for any words, or on a line of its own for
//! any lines.

use std::net::IpAddr;

const ANY: &str = "…";

/// The first line that is not as shown; `None` where all are.
pub(super) fn difference(shown: &str, printed: &str) -> Option<String> {
    let lines = |text: &str| -> Vec<Vec<String>> {
        text.lines().map(words).filter(|line| !line.is_empty()).collect()
    };
    let (shown, printed) = (lines(shown), lines(printed));
    let same = |shown: &Vec<String>, printed: &Vec<String>| {
        fits(shown, printed, |word| word == ANY, |a, b| a == b).is_ok()
    };
    let at = fits(&shown, &printed, |line| line.len() == 1 && line[0] == ANY, same).err()?;
    let line = |lines: &[Vec<String>], at: usize| {
        lines
            .get(at)
            .map_or_else(|| "nothing".to_owned(), |line| line.join(" "))
    };
    Some(format!(
        "shown:   {}\nprinted: {}",
        line(&shown, at.pattern),
        line(&printed, at.text)
    ))
}

/// How far a text fits.
#[derive(Debug, PartialEq, Eq)]
struct Misfit {
    pattern: usize,
    text: usize,
}

/// Whether `text` is what `pattern` says, in which some items stand for any number of items.
fn fits<P, T>(
    pattern: &[P],
    text: &[T],
    any: impl Fn(&P) -> bool,
    same: impl Fn(&P, &T) -> bool,
) -> Result<(), Misfit> {
    let (mut at, mut read) = (0, 0);
    // The last wildcard, and up to where it has been stretched.
    let mut star: Option<(usize, usize)> = None;
    let mut furthest = Misfit { pattern: 0, text: 0 };
    loop {
        if at >= furthest.pattern {
            furthest = Misfit {
                pattern: at,
                text: read,
            };
        }
        if at == pattern.len() && read == text.len() {
            return Ok(());
        }
        if pattern.get(at).is_some_and(&any) {
            star = Some((at, read));
            at += 1;
        } else if pattern
            .get(at)
            .zip(text.get(read))
            .is_some_and(|(wanted, found)| same(wanted, found))
        {
            at += 1;
            read += 1;
        } else if let Some((star_at, stretched)) = star.filter(|(_, stretched)| *stretched < text.len()) {
            star = Some((star_at, stretched + 1));
            at = star_at + 1;
            read = stretched + 1;
        } else {
            return Err(furthest);
        }
    }
}

/// A line's words, those that differ each time replaced.
fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(word).collect()
}

fn word(word: &str) -> String {
    let core = word.trim_matches(|c: char| matches!(c, '(' | ')' | ',' | ';' | ':' | '"' | '\'' | '.'));
    let Some(stand_in) = stand_in(core) else {
        return word.to_owned();
    };
    word.replacen(core, stand_in, 1)
}

fn stand_in(core: &str) -> Option<&'static str> {
    let host = core.split_once(':').map_or(core, |(host, _)| host);
    if host.parse::<IpAddr>().is_ok() {
        return Some("<address>");
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let age = core.len() > 1
        && core.starts_with(|c: char| c.is_ascii_digit())
        && core.ends_with(['s', 'm', 'h', 'd'])
        && core.chars().all(|c| c.is_ascii_digit() || "smhd".contains(c));
    if age {
        return Some("<age>");
    }
    if core.len() == 36 && core.split('-').count() == 5 {
        return Some("<uid>");
    }
    if core.len() == 20 && core.ends_with('Z') && core.contains('T') {
        return Some("<time>");
    }
    if core.strip_prefix("kwok-").is_some_and(digits) {
        return Some("<node>");
    }
    core.rsplit_once('-')
        .filter(|(_, end)| is_hash(end))
        .map(|_| "<template>")
}

/// The end of a template's name: Kubernetes' safe letters and digits, long enough to be no word or number of a person's.
fn is_hash(end: &str) -> bool {
    end.len() >= 8
        && end.bytes().any(|byte| byte.is_ascii_digit())
        && end
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_each_time_is_the_same() {
        let shown =
            "NAME      READY   AGE   IP           NODE\narena-0   Ready   12s   10.0.0.1     kwok-0\n";
        let printed = "NAME READY AGE IP NODE\n\narena-0  Ready  1m2s  10.12.1.33 kwok-2";
        assert_eq!(difference(shown, printed), None);
        assert_eq!(difference("at 10.0.0.1:8000/UDP;", "at 10.9.9.9:7/UDP;"), None);
        assert_eq!(difference("(arena-6d4cf56db9)", "(arena-7b98d6c47f)"), None);
        let other = difference(shown, &printed.replace("Ready  1m2s", "Crash  1m2s")).unwrap();
        assert_eq!(
            other,
            "shown:   arena-0 Ready <age> <address> <node>\nprinted: arena-0 Crash <age> <address> <node>"
        );
    }

    #[test]
    fn names_and_counts_are_none_of_it() {
        for (shown, printed) in [
            ("arena-0", "arena-1"),
            ("3 players", "4 players"),
            ("gss-controller", "gs-controller"),
            ("replicas 3", "replicas"),
        ] {
            assert!(difference(shown, printed).is_some(), "{shown}");
        }
    }

    #[test]
    fn dots_stand_for_any_words_and_lines() {
        let shown = "first\n…\nlast … end\n";
        assert_eq!(difference(shown, "first\nlast end\n"), None);
        assert_eq!(difference(shown, "first\na\nlast b end\nlast a b end\n"), None);
        assert!(difference(shown, "first\nlast b ends\n").is_some());
        assert!(difference(shown, "last end\n").is_some());
        assert!(difference("one\n", "one\ntwo\n").is_some_and(|said| said.ends_with("printed: two")));
        assert!(difference("one\ntwo\n", "one\n").is_some_and(|said| said.ends_with("printed: nothing")));
    }
}
