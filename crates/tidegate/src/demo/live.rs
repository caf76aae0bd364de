//! The live view: a table of the endpoints, totals, and what the proxy said last. Leaves the terminal as it found it, also
//! after a panic.

use super::algorithms::{ALGORITHMS, Score, Scores, by_key};
use super::reading::{EndpointReading, Reading, quantile_ms};
use super::report::milliseconds;
use super::{LastWord, Stage};
use ratatui::DefaultTerminal;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};
use std::collections::VecDeque;
use std::io;
use std::sync::PoisonError;
use std::time::Duration;

/// From one picture to the next.
const INTERVAL: Duration = Duration::from_millis(250);
/// Rates are over this many pictures: one second.
const WINDOW: usize = 4;
/// Long enough to see whether a signal is there.
const GLANCE: Duration = Duration::from_millis(1);

/// Fits 80 columns.
const WIDTHS: [Constraint; 8] = [
    Constraint::Length(9),
    Constraint::Length(6),
    Constraint::Length(10),
    Constraint::Length(9),
    Constraint::Length(9),
    Constraint::Length(6),
    Constraint::Length(9),
    Constraint::Min(13),
];

/// Of the comparison of algorithms.
const SCORE_WIDTHS: [Constraint; 4] =
    [Constraint::Length(17), Constraint::Length(10), Constraint::Length(9), Constraint::Min(8)];

/// What a viewer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Nothing,
    Quit,
    Switch(&'static str),
}

/// Runs until the time is over, or somebody presses `q` or Ctrl-C.
pub(super) fn show(stage: &mut Stage, last_word: &LastWord) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let shown = keep_drawing(&mut terminal, stage, last_word);
    ratatui::restore();
    shown
}

fn keep_drawing(terminal: &mut DefaultTerminal, stage: &mut Stage, last_word: &LastWord) -> io::Result<()> {
    let admin = stage.addresses();
    let mut readings = VecDeque::from([stage.read()]);
    let mut scores = Scores::new(stage.algorithm(), stage.read());
    while !stage.is_over() && !stage.control.is_told_to_end_within(GLANCE) {
        let now = stage.read();
        let window = readings.front().map_or_else(|| now.clone(), |earliest| now.since(earliest));
        let word = last_word.lock().unwrap_or_else(PoisonError::into_inner).clone();
        terminal.draw(|frame| draw(frame, &now, &window, &scores, &[&admin, &word]))?;
        readings.push_back(now);
        if readings.len() > WINDOW {
            readings.pop_front();
        }
        let wish = if event::poll(INTERVAL)? {
            event::read().map_or(Wish::Nothing, |event| wish(&event))
        } else {
            Wish::Nothing
        };
        match wish {
            Wish::Nothing => {}
            Wish::Quit => break,
            Wish::Switch(algorithm) if algorithm == scores.current() => {}
            Wish::Switch(algorithm) => {
                if let Err(failure) = stage.switch_to(algorithm) {
                    *last_word.lock().unwrap_or_else(PoisonError::into_inner) = failure.to_string();
                } else {
                    scores.switch(algorithm, stage.read());
                }
            }
        }
    }
    Ok(())
}

fn wish(event: &Event) -> Wish {
    let Event::Key(KeyEvent { code, modifiers, .. }) = event else { return Wish::Nothing };
    match code {
        KeyCode::Char('q') | KeyCode::Esc => Wish::Quit,
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Wish::Quit,
        KeyCode::Char(key) => by_key(*key).map_or(Wish::Nothing, Wish::Switch),
        _ => Wish::Nothing,
    }
}

fn draw(frame: &mut Frame<'_>, now: &Reading, window: &Reading, scores: &Scores, words: &[&str; 2]) {
    let height = |rows: usize| Constraint::Length(u16::try_from(rows).unwrap_or(u16::MAX));
    let lines = scores.lines(now);
    let heights = [height(2), height(window.endpoints.len() + 3), height(5), height(lines.len() + 3)];
    let [title, table, totals, comparison] = Layout::vertical(heights).areas(frame.area());
    frame.render_widget(Paragraph::new(title_lines()), title);
    frame.render_widget(endpoints(window), table);
    draw_totals(frame, totals, now, window, words);
    frame.render_widget(algorithms(&lines), comparison);
}

fn title_lines() -> Vec<Line<'static>> {
    let keys: Vec<_> = ALGORITHMS.iter().map(|(key, name)| format!("{key} {name}")).collect();
    vec![
        Line::from(" tidegate demo: q quits, a letter switches the algorithm:").style(Modifier::BOLD),
        Line::from(format!(" {}", keys.join(" · "))),
    ]
}

/// What each algorithm has achieved while it was in force.
fn algorithms(scores: &[Score]) -> Table<'static> {
    let row = |score: &Score| {
        let style = if score.is_current { Style::from(Modifier::BOLD) } else { Style::new() };
        Row::new([
            format!("{} {}", if score.is_current { '▶' } else { ' ' }, score.algorithm),
            score.requests.to_string(),
            milliseconds(score.p99_ms),
            format!("{:.2} %", 100.0 * score.errors),
        ])
        .style(style)
    };
    Table::new(scores.iter().map(row), SCORE_WIDTHS)
        .header(Row::new(["algorithm", "requests", "p99", "5xx"]).style(Modifier::BOLD))
        .block(Block::bordered().title(" since each was chosen "))
}

fn endpoints(window: &Reading) -> Table<'_> {
    let names = ["endpoint", "port", "requests/s", "p50", "p99", "errors", "in flight", "state"];
    let rows = window.endpoints.iter().map(|endpoint| row(endpoint, window));
    Table::new(rows, WIDTHS)
        .header(Row::new(names).style(Modifier::BOLD))
        .block(Block::bordered().title(" the last second "))
}

fn row<'a>(endpoint: &'a EndpointReading, window: &Reading) -> Row<'a> {
    let counts = &endpoint.counts;
    let state = if endpoint.state == "up" { Style::from(Color::Green) } else { Style::from(Color::Red) };
    let errors = if counts.errors == 0 { Style::new() } else { Style::from(Color::Yellow) };
    Row::new([
        Cell::from(endpoint.name),
        Cell::from(endpoint.address.rsplit(':').next().unwrap_or_default()),
        Cell::from(format!("{:.0}", window.per_second(counts.requests))),
        Cell::from(milliseconds(quantile_ms(counts, 0.5))),
        Cell::from(milliseconds(quantile_ms(counts, 0.99))),
        Cell::from(counts.errors.to_string()).style(errors),
        Cell::from(endpoint.in_flight.to_string()),
        Cell::from(endpoint.state.replace("down_by_", "down: ")).style(state),
    ])
}

fn draw_totals(frame: &mut Frame<'_>, area: Rect, now: &Reading, window: &Reading, words: &[&str; 2]) {
    let rate = format!(
        " {:.0} requests/s, p50 {}, p99 {}",
        window.per_second(window.requests.requests),
        milliseconds(quantile_ms(&window.requests, 0.5)),
        milliseconds(quantile_ms(&window.requests, 0.99)),
    );
    let totals = format!(
        " {} requests in {:.0} s, {} answered with 5xx, {} tried again elsewhere",
        now.requests.requests,
        now.at.as_secs_f64(),
        now.requests.errors,
        now.retries,
    );
    let words = words.map(|word| Line::from(format!(" {word}")));
    let lines: Vec<_> = [Line::from(rate), Line::from(totals)].into_iter().chain(words).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

#[cfg(test)]
mod tests {
    use super::super::reading::Counts;
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    #[test]
    fn a_key_switches_ends_or_does_nothing() {
        let key = |code, modifiers| wish(&Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(key(KeyCode::Char('r'), KeyModifiers::NONE), Wish::Switch("round_robin"));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Wish::Quit);
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Wish::Quit);
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), Wish::Nothing);
        assert_eq!(key(KeyCode::Up, KeyModifiers::NONE), Wish::Nothing);
    }

    #[test]
    fn the_screen_compares_the_algorithms_that_were_tried() {
        let reading = |requests, errors| Reading {
            at: Duration::from_secs(1),
            requests: Counts { requests, errors, ..Counts::default() },
            retries: 0,
            endpoints: Vec::new(),
        };
        let mut scores = Scores::new("round_robin", reading(0, 0));
        scores.switch("adaptive", reading(200, 50));
        let now = reading(500, 50);
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, &now, &now, &scores, &["", ""])).unwrap();
        let screen = terminal.backend().to_string();
        let line = |words: &[&str]| screen.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(line(&["▶ adaptive", "300", "0.00 %"]), "{screen}");
        assert!(line(&["round_robin", "200", "25.00 %"]), "{screen}");
        assert!(line(&["a adaptive", "r round_robin"]), "{screen}");
    }
}
