//! What the live view looks like: a table of the endpoints, totals, what the proxy said last, and the algorithms. Drawn by a
//! thread of its own, because whoever writes to a terminal waits for it, and a terminal may stop reading. Knows pictures only.

use super::algorithms::{ALGORITHMS, Score};
use super::reading::{EndpointReading, Reading, quantile_ms};
use super::report::milliseconds;
use ratatui::Frame;
use ratatui::crossterm::terminal::disable_raw_mode;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};
use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

/// For the last words to a terminal that is slow to take them.
const PATIENCE: Duration = Duration::from_secs(1);

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

/// All that one picture shows.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) now: Reading,
    /// The last second.
    pub(super) window: Reading,
    pub(super) scores: Vec<Score>,
    pub(super) words: [String; 2],
}

/// The terminal while it shows pictures. It is left as it was found, also after a panic.
#[derive(Debug)]
pub(super) struct Screen {
    pictures: SyncSender<Picture>,
    /// How it ended.
    ended: Receiver<io::Result<()>>,
}

/// What became of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    AsFound,
    /// It takes nothing any more.
    Gone,
}

impl Screen {
    pub(super) fn take() -> io::Result<Self> {
        let (pictures, to_draw) = sync_channel(1);
        let (end, ended) = sync_channel(1);
        thread::Builder::new().name("demo-screen".to_owned()).spawn(move || {
            let _ = end.send(keep_drawing(&to_draw));
        })?;
        Ok(Self { pictures, ended })
    }

    /// Shows it, unless the terminal is still busy with those before. `false`: the terminal takes none any more.
    pub(super) fn show(&self, picture: Picture) -> bool {
        let _ = self.pictures.try_send(picture);
        matches!(self.ended.try_recv(), Err(TryRecvError::Empty))
    }

    pub(super) fn leave(self) -> io::Result<Left> {
        drop(self.pictures);
        match self.ended.recv_timeout(PATIENCE) {
            Ok(Ok(())) => Ok(Left::AsFound),
            Ok(Err(error)) if io::stdout().is_terminal() => Err(error),
            Ok(Err(_)) => Ok(Left::Gone),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the live view panicked")),
            Err(RecvTimeoutError::Timeout) => {
                let _ = disable_raw_mode(); // all that can be done without writing to it
                Ok(Left::Gone)
            }
        }
    }
}

fn keep_drawing(to_draw: &Receiver<Picture>) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let drawn = to_draw.iter().try_for_each(|picture| terminal.draw(|frame| draw(frame, &picture)).map(drop));
    let left = drawn.and_then(|()| terminal.show_cursor());
    // Not dropped: that would complain on standard error, which is as gone as the terminal when there is something to complain.
    std::mem::forget(terminal);
    ratatui::try_restore().and(left)
}

fn draw(frame: &mut Frame<'_>, picture: &Picture) {
    let Picture { now, window, scores, words } = picture;
    let height = |rows: usize| Constraint::Length(u16::try_from(rows).unwrap_or(u16::MAX));
    let heights = [height(2), height(window.endpoints.len() + 3), height(5), height(scores.len() + 3)];
    let [title, table, totals, comparison] = Layout::vertical(heights).areas(frame.area());
    frame.render_widget(Paragraph::new(title_lines()), title);
    frame.render_widget(endpoints(window), table);
    draw_totals(frame, totals, now, window, words);
    frame.render_widget(algorithms(scores), comparison);
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

fn draw_totals(frame: &mut Frame<'_>, area: Rect, now: &Reading, window: &Reading, words: &[String; 2]) {
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
    let words = words.iter().map(|word| Line::from(format!(" {word}")));
    let lines: Vec<_> = [Line::from(rate), Line::from(totals)].into_iter().chain(words).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

#[cfg(test)]
mod tests {
    use super::super::algorithms::Scores;
    use super::super::reading::Counts;
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

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
        let words = [String::new(), String::new()];
        let picture = Picture { window: now.clone(), scores: scores.lines(&now), now, words };
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, &picture)).unwrap();
        let screen = terminal.backend().to_string();
        let line = |words: &[&str]| screen.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(line(&["▶ adaptive", "300", "0.00 %"]), "{screen}");
        assert!(line(&["round_robin", "200", "25.00 %"]), "{screen}");
        assert!(line(&["a adaptive", "r round_robin"]), "{screen}");
    }
}
