//! The live view: a table of the endpoints, totals, and what the proxy said last. Leaves the terminal as it found it, also
//! after a panic.

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
    while !stage.is_over() && !stage.control.is_told_to_end_within(GLANCE) {
        let now = stage.read();
        let window = readings.front().map_or_else(|| now.clone(), |earliest| now.since(earliest));
        let word = last_word.lock().unwrap_or_else(PoisonError::into_inner).clone();
        terminal.draw(|frame| draw(frame, &now, &window, &[&admin, &word]))?;
        readings.push_back(now);
        if readings.len() > WINDOW {
            readings.pop_front();
        }
        if event::poll(INTERVAL)? && event::read().is_ok_and(|event| is_quit(&event)) {
            break;
        }
    }
    Ok(())
}

fn is_quit(event: &Event) -> bool {
    let Event::Key(KeyEvent { code, modifiers, .. }) = event else { return false };
    match code {
        KeyCode::Char('q') | KeyCode::Esc => true,
        KeyCode::Char('c') => modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}

fn draw(frame: &mut Frame<'_>, now: &Reading, window: &Reading, words: &[&str; 2]) {
    let rows = u16::try_from(window.endpoints.len()).unwrap_or(u16::MAX);
    let heights = [Constraint::Length(1), Constraint::Length(rows.saturating_add(3)), Constraint::Length(5)];
    let [title, table, totals] = Layout::vertical(heights).areas(frame.area());
    frame.render_widget(Line::from(" tidegate demo: press q to quit").style(Modifier::BOLD), title);
    frame.render_widget(endpoints(window), table);
    draw_totals(frame, totals, now, window, words);
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
