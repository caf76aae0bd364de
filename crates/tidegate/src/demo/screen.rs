//! What the live view looks like: a table of the endpoints, totals, what the proxy said last, and the algorithms. Drawn by a
//! thread of its own, because whoever writes to a terminal waits for it, and a terminal may stop reading. Knows pictures only.

use super::algorithms::{ALGORITHMS, Score};
use super::reading::{EndpointReading, Reading, quantile_ms};
use super::report::milliseconds;
use ratatui::Frame;
use ratatui::crossterm::terminal::disable_raw_mode;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};
use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

/// For the last words to a terminal that is slow to take them.
const PATIENCE: Duration = Duration::from_secs(1);

/// Of the endpoints: what stands above, and how much room it wants. All of them fit 80 columns.
const COLUMNS: [(&str, u16); 8] = [
    ("endpoint", 9),
    ("port", 6),
    ("requests/s", 10),
    ("p50", 8),
    ("p99", 8),
    ("errors", 6),
    ("in flight", 9),
    ("state", 11),
];
/// Their places, the one that is missed most first: a narrow terminal shows as many as have room.
const BY_IMPORTANCE: [usize; 8] = [0, 2, 7, 4, 5, 3, 6, 1];

/// Kept for what the proxy says last, so that nothing below jumps when it says more.
const WORD_LINES: usize = 2;

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

/// What does not fit is cut from below: the comparison first.
fn draw(frame: &mut Frame<'_>, picture: &Picture) {
    let Picture { now, window, scores, words } = picture;
    let width = usize::from(frame.area().width);
    let (title, totals) = (title_lines(scores, width), totals_lines(now, window, words, width));
    let mut left = frame.area().height;
    let heights = [title.len(), window.endpoints.len() + 3, totals.len(), scores.len() + 3].map(|wanted| {
        let height = u16::try_from(wanted).unwrap_or(u16::MAX).min(left);
        left -= height;
        Constraint::Length(height)
    });
    let [above, table, middle, comparison] = Layout::vertical(heights).areas(frame.area());
    frame.render_widget(Paragraph::new(title), above);
    frame.render_widget(endpoints(window, table), table);
    frame.render_widget(Paragraph::new(totals), middle);
    frame.render_widget(algorithms(scores), comparison);
}

fn title_lines(scores: &[Score], width: usize) -> Vec<Line<'static>> {
    let is_current = |name: &str| scores.iter().any(|score| score.is_current && score.algorithm == name);
    let key = |(key, name): &(char, &'static str)| {
        let style = if is_current(name) { Style::from(Modifier::REVERSED) } else { Style::new() };
        vec![Span::from(format!("{key} ")).style(Modifier::BOLD), Span::from(*name).style(style)]
    };
    let says = Line::from(" tidegate demo: q quits, a key switches the algorithm:").style(Modifier::BOLD);
    std::iter::once(says).chain(wrapped(ALGORITHMS.iter().map(key), "  ", width)).collect()
}

/// As many of the pieces on each line as fit, behind a margin of one column. No piece is broken.
fn wrapped<'p>(pieces: impl Iterator<Item = Vec<Span<'p>>>, gap: &'p str, width: usize) -> Vec<Line<'p>> {
    let mut lines: Vec<Line<'p>> = Vec::new();
    for piece in pieces {
        let takes = gap.len() + piece.iter().map(Span::width).sum::<usize>();
        match lines.last_mut().filter(|line| line.width() + takes <= width) {
            Some(line) => line.spans.push(Span::from(gap)),
            None => lines.push(Line::from(" ")),
        }
        if let Some(line) = lines.last_mut() {
            line.spans.extend(piece);
        }
    }
    lines
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

fn endpoints(window: &Reading, area: Rect) -> Table<'_> {
    let shown = shown(area.width.saturating_sub(2)); // within the frame
    let of = |index: usize| COLUMNS.get(index).copied().unwrap_or_default();
    let rows = window.endpoints.iter().map(|endpoint| {
        let cells = cells(endpoint, window);
        Row::new(
            cells.into_iter().enumerate().filter(|(index, _)| shown.contains(index)).map(|(_, cell)| cell),
        )
    });
    // The last one takes what is left.
    let width =
        |index: &usize| if *index + 1 == COLUMNS.len() { Constraint::Fill(1) } else { of(*index).1.into() };
    Table::new(rows, shown.iter().map(width))
        .header(Row::new(shown.iter().map(|index| of(*index).0)).style(Modifier::BOLD))
        .block(Block::bordered().title(" the last second "))
}

/// The places of the columns that have room, with one between them.
fn shown(width: u16) -> Vec<usize> {
    let mut left = width + 1;
    let fits = |index: &usize| {
        let takes = COLUMNS.get(*index).map_or(0, |(_, wanted)| wanted + 1);
        let fits = takes <= left;
        left = left.saturating_sub(takes);
        fits
    };
    let mut shown: Vec<usize> = BY_IMPORTANCE.into_iter().take_while(fits).collect();
    shown.sort_unstable();
    shown
}

/// In the order of the columns.
fn cells<'a>(endpoint: &'a EndpointReading, window: &Reading) -> [Cell<'a>; 8] {
    let counts = &endpoint.counts;
    let state = if endpoint.state == "up" { Style::from(Color::Green) } else { Style::from(Color::Red) };
    let errors = if counts.errors == 0 { Style::new() } else { Style::from(Color::Yellow) };
    [
        Cell::from(endpoint.name),
        Cell::from(endpoint.address.rsplit(':').next().unwrap_or_default()),
        Cell::from(format!("{:.0}", window.per_second(counts.requests))),
        Cell::from(milliseconds(quantile_ms(counts, 0.5))),
        Cell::from(milliseconds(quantile_ms(counts, 0.99))),
        Cell::from(counts.errors.to_string()).style(errors),
        Cell::from(endpoint.in_flight.to_string()),
        Cell::from(endpoint.state.replace("down_by_", "down: ")).style(state),
    ]
}

fn totals_lines(now: &Reading, window: &Reading, words: &[String; 2], width: usize) -> Vec<Line<'static>> {
    let rate = format!(
        "{:.0} requests/s, p50 {}, p99 {}",
        window.per_second(window.requests.requests),
        milliseconds(quantile_ms(&window.requests, 0.5)),
        milliseconds(quantile_ms(&window.requests, 0.99)),
    );
    let totals = format!(
        "{} requests in {:.0} s, {} with 5xx, {} tried again",
        now.requests.requests,
        now.at.as_secs_f64(),
        now.requests.errors,
        now.retries,
    );
    let [addresses, last_word] = words;
    let lines =
        |text: &str| wrapped(text.split(' ').map(|word| vec![Span::from(word.to_owned())]), " ", width);
    let mut said = lines(last_word);
    said.resize(WORD_LINES, Line::default());
    [lines(&rate), lines(&totals), lines(addresses), said].concat()
}

#[cfg(test)]
mod tests {
    use super::super::algorithms::Scores;
    use super::super::reading::Counts;
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn reading(requests: u64, errors: u64) -> Reading {
        let endpoint = |name, state| EndpointReading {
            name,
            address: "127.0.0.1:39219".to_owned(),
            counts: Counts { requests, errors, ..Counts::default() },
            in_flight: 3,
            state,
        };
        Reading {
            at: Duration::from_secs(1),
            requests: Counts { requests, errors, ..Counts::default() },
            retries: 0,
            endpoints: vec![endpoint("steady-1", "up"), endpoint("flaky", "down_by_check")],
        }
    }

    /// The lines of a terminal of that size on which `adaptive` follows `round_robin`.
    fn screen(columns: u16, rows: u16) -> Vec<String> {
        let mut scores = Scores::new("round_robin", reading(0, 0));
        scores.switch("adaptive", reading(200, 50));
        let now = reading(500, 50);
        let words = [
            "proxy http://127.0.0.1:40203, admin http://127.0.0.1:9901 (/metrics, /status)".to_owned(),
            "endpoint 127.0.0.1:39219 of cluster default is down: health check failed: cannot connect: refused"
                .to_owned(),
        ];
        let picture = Picture { window: now.clone(), scores: scores.lines(&now), now, words };
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        terminal.draw(|frame| draw(frame, &picture)).unwrap();
        terminal.backend().to_string().lines().map(str::to_owned).collect()
    }

    fn has(screen: &[String], words: &[&str]) -> bool {
        screen.iter().any(|line| words.iter().all(|word| line.contains(word)))
    }

    #[test]
    fn the_screen_compares_the_algorithms_that_were_tried() {
        let screen = screen(80, 24);
        assert!(has(&screen, &["▶ adaptive", "300", "0.00 %"]), "{screen:#?}");
        assert!(has(&screen, &["round_robin", "200", "25.00 %"]), "{screen:#?}");
    }

    #[test]
    fn all_keys_and_what_matters_most_of_the_endpoints_are_seen_on_narrow_terminals_too() {
        for (columns, rows) in [(60, 20), (80, 24), (200, 50)] {
            let screen = screen(columns, rows);
            for (key, name) in ALGORITHMS {
                assert!(has(&screen, &[&format!("{key} {name}")]), "{columns}: {key}: {screen:#?}");
            }
            assert!(has(&screen, &["q quits, a key switches the algorithm:"]), "{columns}: {screen:#?}");
            assert!(
                has(&screen, &["endpoint", "requests/s", "p50", "p99", "errors", "state"]),
                "{screen:#?}"
            );
            assert!(has(&screen, &["flaky", "500", "50", "down: check"]), "{columns}: {screen:#?}");
            assert_eq!(has(&screen, &["port", "in flight"]), columns >= 80, "{columns}: {screen:#?}");
            assert!(
                has(&screen, &["/status)"]) && has(&screen, &["cannot connect"]),
                "{columns}: {screen:#?}"
            );
            assert!(has(&screen, &["▶ adaptive", "300"]), "{columns}: {screen:#?}");
        }
    }

    #[test]
    fn no_terminal_is_too_small_to_be_drawn_on() {
        for (columns, rows) in [(1, 1), (2, 40), (40, 3), (13, 13)] {
            assert_eq!(screen(columns, rows).len(), usize::from(rows));
        }
    }
}
