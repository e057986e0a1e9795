//! A dashboard's panels as a picture: SVG, written as text (pure).

use std::fmt::Write as _;

use super::dashboards::{Dashboard, Panel, Unit};

/// A line of a panel: a value, or none, at each of the picture's moments.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    /// As the legend names it.
    pub(crate) name: String,
    /// From the first moment to the last.
    pub(crate) values: Vec<Option<f64>>,
}

impl Line {
    fn peak(&self) -> f64 {
        self.values.iter().flatten().copied().fold(0.0, f64::max)
    }
}

const COLUMNS: usize = 3;
const PANEL: (f64, f64) = (400.0, 250.0);
const GAP: f64 = 12.0;
const HEADING: f64 = 30.0;
/// Where the lines are within a panel.
const PLOT: (f64, f64, f64, f64) = (58.0, 30.0, 328.0, 130.0);
/// Lines that the legend names; the others are counted.
const NAMED: usize = 8;
const COLOURS: [&str; 10] = [
    "#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2", "#9c755f", "#edc948", "#ff9da7",
    "#79706e",
];

/// Draws the dashboard. `lines` has those of each panel, in the dashboard's order; `seconds` is how long the picture's time is.
pub(crate) fn svg(dashboard: &Dashboard, lines: &[Vec<Line>], seconds: f64) -> String {
    let mut body = String::new();
    let mut y = HEADING + GAP;
    let mut all = lines.iter();
    for row in &dashboard.rows {
        text(&mut body, (GAP, y + 16.0), 14, "600", "start", row.title);
        y += HEADING;
        for (number, panel) in row.panels.iter().enumerate() {
            let (line, column) = (number / COLUMNS, number % COLUMNS);
            let place = (
                GAP + column as f64 * (PANEL.0 + GAP),
                y + line as f64 * (PANEL.1 + GAP),
            );
            let drawn = all.next().map(Vec::as_slice).unwrap_or_default();
            draw(&mut body, place, panel, drawn, seconds);
        }
        y += row.panels.len().div_ceil(COLUMNS) as f64 * (PANEL.1 + GAP);
    }
    let width = COLUMNS as f64 * (PANEL.0 + GAP) + GAP;
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{y:.0}\" viewBox=\"0 0 {width:.0} {y:.0}\" \
         font-family=\"Helvetica, Arial, sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"#f4f5f7\"/>\n"
    );
    text(&mut picture, (GAP, 28.0), 18, "600", "start", &dashboard.title);
    picture.push_str(&body);
    picture.push_str("</svg>\n");
    picture
}

fn draw(body: &mut String, (x, y): (f64, f64), panel: &Panel, lines: &[Line], seconds: f64) {
    // Writing to a String cannot fail.
    let _ = writeln!(
        body,
        "<g transform=\"translate({x:.0} {y:.0})\"><rect width=\"{:.0}\" height=\"{:.0}\" rx=\"3\" fill=\"#fff\" stroke=\"#dcdfe4\"/>",
        PANEL.0, PANEL.1
    );
    text(body, (10.0, 19.0), 12, "600", "start", panel.title);
    let lines = &ordered(lines);
    let heights = heights(panel, lines);
    let most = heights.iter().flatten().flatten().copied().fold(0.0, f64::max);
    let step = nice(most / 4.0);
    let top = (most / step).ceil().max(1.0) * step;
    axes(body, panel.unit, top, step, seconds);
    let (left, above, width, height) = PLOT;
    let at = |index: usize, count: usize, value: f64| {
        let across = index as f64 / (count.max(2) - 1) as f64;
        (left + across * width, above + height - value / top * height)
    };
    // The highest first, so that each lower one covers what of it isn't its own.
    for (number, values) in heights.iter().enumerate().rev() {
        let colour = COLOURS[number % COLOURS.len()];
        for run in runs(values) {
            let points = run.iter().map(|(index, value)| at(*index, values.len(), *value));
            path(body, points, colour, panel.stacked.then_some(above + height));
        }
    }
    if lines.is_empty() {
        text(
            body,
            (left + width / 2.0, above + height / 2.0),
            11,
            "400",
            "middle",
            "nothing to draw",
        );
    }
    legend(body, lines);
    body.push_str("</g>\n");
}

/// The line with the highest peak first, those that are nothing but noughts last: what is to be seen is named.
fn ordered(lines: &[Line]) -> Vec<Line> {
    let mut ordered = lines.to_vec();
    ordered.sort_by(|one, other| other.peak().total_cmp(&one.peak()));
    ordered
}

/// Where each line runs: its values, or with all below it where the lines are parts of a whole.
fn heights(panel: &Panel, lines: &[Line]) -> Vec<Vec<Option<f64>>> {
    let mut below: Vec<f64> = Vec::new();
    let mut all = Vec::new();
    for line in lines {
        if !panel.stacked {
            all.push(line.values.clone());
            continue;
        }
        below.resize(line.values.len().max(below.len()), 0.0);
        for (sum, value) in below.iter_mut().zip(&line.values) {
            *sum += value.unwrap_or_default();
        }
        let shown = line
            .values
            .iter()
            .zip(&below)
            .map(|(value, sum)| value.map(|_| *sum));
        all.push(shown.collect());
    }
    all
}

/// The parts of a line without gaps.
fn runs(values: &[Option<f64>]) -> Vec<Vec<(usize, f64)>> {
    let mut runs = vec![Vec::new()];
    for (index, value) in values.iter().enumerate() {
        match (value, runs.last_mut()) {
            (Some(value), Some(run)) => run.push((index, *value)),
            (None, Some(run)) if !run.is_empty() => runs.push(Vec::new()),
            _ => {}
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

fn path(body: &mut String, points: impl Iterator<Item = (f64, f64)>, colour: &str, ground: Option<f64>) {
    let points: Vec<(f64, f64)> = points.collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return;
    };
    let text: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let text = text.join(" ");
    if points.len() == 1 {
        let _ = writeln!(
            body,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"1.5\" fill=\"{colour}\"/>",
            first.0, first.1
        );
        return;
    }
    if let Some(ground) = ground {
        let _ = writeln!(
            body,
            "<polygon points=\"{:.1},{ground:.1} {text} {:.1},{ground:.1}\" fill=\"{colour}\"/>",
            first.0, last.0
        );
    }
    let _ = writeln!(
        body,
        "<polyline points=\"{text}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
    );
}

fn axes(body: &mut String, unit: Unit, top: f64, step: f64, seconds: f64) {
    let (left, above, width, height) = PLOT;
    let mut value = 0.0;
    while value <= top * 1.001 {
        let y = above + height - value / top * height;
        let _ = writeln!(
            body,
            "<line x1=\"{left:.0}\" x2=\"{:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#e6e8eb\"/>",
            left + width
        );
        text(body, (left - 6.0, y + 3.5), 10, "400", "end", &shown(unit, value));
        value += step;
    }
    for part in 0..=3 {
        let share = f64::from(part) / 3.0;
        let label = format!("{:.0} s", share * seconds);
        let anchor = ["start", "middle", "middle", "end"][part as usize];
        text(
            body,
            (left + share * width, above + height + 14.0),
            10,
            "400",
            anchor,
            &label,
        );
    }
}

fn legend(body: &mut String, lines: &[Line]) {
    let (_, above, _, height) = PLOT;
    let room = if lines.len() > NAMED { NAMED - 1 } else { NAMED };
    for (number, line) in lines.iter().take(room).enumerate() {
        let (x, y) = spot(number, above + height);
        let colour = COLOURS[number % COLOURS.len()];
        let _ = writeln!(
            body,
            "<rect x=\"{x:.0}\" y=\"{:.0}\" width=\"9\" height=\"3\" fill=\"{colour}\"/>",
            y - 5.0
        );
        text(body, (x + 13.0, y), 10, "400", "start", &shortened(&line.name));
    }
    if lines.len() > room {
        let (x, y) = spot(room, above + height);
        let rest = &lines[room..];
        let nought = if rest.iter().all(|line| line.peak() <= 0.0) {
            ", all 0"
        } else {
            ""
        };
        let more = format!("and {} more{nought}", rest.len());
        text(body, (x + 13.0, y), 10, "400", "start", &more);
    }
}

/// Two columns, filled from left to right.
fn spot(number: usize, below: f64) -> (f64, f64) {
    let (row, column) = (number / 2, number % 2);
    (12.0 + column as f64 * 192.0, below + 36.0 + row as f64 * 15.0)
}

fn shortened(name: &str) -> String {
    const LONGEST: usize = 32;
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    name.chars().take(LONGEST - 1).chain(['…']).collect()
}

fn text(body: &mut String, (x, y): (f64, f64), size: u32, weight: &str, anchor: &str, content: &str) {
    let content = content
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let _ = writeln!(
        body,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" font-weight=\"{weight}\" text-anchor=\"{anchor}\" fill=\"#24292f\">{content}</text>"
    );
}

/// The next of 1, 2, 5, 10, … that is at least this.
fn nice(least: f64) -> f64 {
    if least <= 0.0 || !least.is_finite() {
        return 1.0;
    }
    let scale = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|step| step * scale >= least * 0.999);
    step.unwrap_or(10.0) * scale
}

/// A value with its unit, short.
fn shown(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Seconds if value >= 120.0 => format!("{} min", short(value / 60.0)),
        Unit::Seconds if value >= 1.0 || value == 0.0 => format!("{} s", short(value)),
        Unit::Seconds if value >= 0.001 => format!("{} ms", short(value * 1e3)),
        Unit::Seconds => format!("{} µs", short(value * 1e6)),
        Unit::Bytes => format!("{} MB", short(value / 1e6)),
        Unit::Share => format!("{} %", short(value * 100.0)),
        Unit::Rate => format!("{} /s", short(value)),
        Unit::Count => short(value),
    }
}

/// Up to three digits behind the point, and no noughts at the end.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observability::dashboards::all;

    #[test]
    fn steps_of_an_axis_are_1_2_5() {
        for (least, step) in [
            (0.0, 1.0),
            (0.3, 0.5),
            (1.0, 1.0),
            (1.1, 2.0),
            (6.0, 10.0),
            (0.0007, 0.001),
            (40.0, 50.0),
        ] {
            assert!(
                (nice(least) - step).abs() < step * 1e-9,
                "{least}: {}",
                nice(least)
            );
        }
    }

    #[test]
    fn values_are_shown_with_their_unit() {
        let cases = [
            (Unit::Seconds, 0.0025, "2.5 ms"),
            (Unit::Seconds, 0.000_05, "50 µs"),
            (Unit::Seconds, 300.0, "5 min"),
            (Unit::Bytes, 20_000_000.0, "20 MB"),
            (Unit::Share, 0.05, "5 %"),
            (Unit::Rate, 0.2, "0.2 /s"),
            (Unit::Count, 40.0, "40"),
        ];
        for (unit, value, text) in cases {
            assert_eq!(shown(unit, value), text);
        }
    }

    #[test]
    fn a_gap_ends_a_line_and_parts_lie_on_top_of_each_other() {
        assert_eq!(
            runs(&[None, Some(1.0), Some(2.0), None, Some(3.0)]),
            [vec![(1, 1.0), (2, 2.0)], vec![(4, 3.0)]]
        );
        let line = |values: &[Option<f64>]| Line {
            name: String::new(),
            values: values.to_vec(),
        };
        let dashboard = &all()[0];
        let stacked = &dashboard.rows[0].panels[0];
        assert!(stacked.stacked);
        let drawn = heights(
            stacked,
            &[line(&[Some(1.0), None]), line(&[Some(2.0), Some(3.0)])],
        );
        assert_eq!(drawn, [vec![Some(1.0), None], vec![Some(3.0), Some(3.0)]]);
    }

    #[test]
    fn names_are_no_markup_and_what_has_no_room_is_counted() {
        let dashboard = &all()[0];
        let line = |number: usize| Line {
            name: format!("<{number}>"),
            values: vec![Some(1.0), Some(2.0)],
        };
        let picture = svg(dashboard, &[(0..12).map(line).collect()], 60.0);
        assert!(picture.contains("&lt;0&gt;") && !picture.contains("<0>"));
        assert!(picture.contains("and 5 more"));
        assert!(picture.contains("nothing to draw"));
        for panel in dashboard.rows.iter().flat_map(|row| &row.panels) {
            assert!(picture.contains(panel.title), "{}", panel.title);
        }
    }
}
