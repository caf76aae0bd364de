//! The live view, as somebody at the terminal has it: pictures come, keys are obeyed, until it ends. It ends with the terminal,
//! whatever happens to that: nothing here waits for it. Knows no layout.

use super::algorithms::{Scores, by_key};
use super::reading::Reading;
use super::screen::{Left, Picture, Screen};
use super::{LastWord, Stage};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// From one look at keys and signals to the next.
const INTERVAL: Duration = Duration::from_millis(50);
/// From one picture to the next: 250 ms.
const LOOKS_PER_PICTURE: usize = 5;
/// Rates are over this many pictures: one second.
const WINDOW: usize = 4;

/// What a viewer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Nothing,
    Quit,
    Switch(&'static str),
}

/// Runs until the time is over, a signal ends it, somebody presses `q`, Esc or Ctrl-C, or the terminal is gone.
pub(super) fn show(stage: &mut Stage, last_word: &LastWord) -> io::Result<Left> {
    let screen = Screen::take()?;
    let shown = keep_showing(&screen, stage, last_word);
    let left = screen.leave();
    shown.and(left)
}

fn keep_showing(screen: &Screen, stage: &mut Stage, last_word: &LastWord) -> io::Result<()> {
    let wishes = wishes()?;
    let has_input = io::stdin().is_terminal();
    let mut view = View::new(stage, last_word);
    for look in 0_usize.. {
        if look.is_multiple_of(LOOKS_PER_PICTURE) && !screen.show(view.picture(stage)) {
            break;
        }
        if stage.is_over() || stage.control.is_told_to_end_within(stage.left().min(INTERVAL)) {
            break;
        }
        // One that has hung up is none any more, and reading from it tells nobody.
        if !io::stdout().is_terminal() || has_input && !io::stdin().is_terminal() {
            break;
        }
        for wish in wishes.try_iter() {
            match wish {
                Wish::Nothing => {}
                Wish::Quit => return Ok(()),
                Wish::Switch(algorithm) => view.switch(stage, algorithm),
            }
        }
    }
    Ok(())
}

/// What is read from the terminal, by a thread that ends with the process: from one that has hung up it never comes back.
fn wishes() -> io::Result<Receiver<Wish>> {
    let (wishing, wishes) = channel();
    let read = move || {
        loop {
            let wish = event::read().map_or(Wish::Quit, |event| wish(&event));
            if wishing.send(wish).is_err() || wish == Wish::Quit {
                return;
            }
        }
    };
    thread::Builder::new().name("demo-keys".to_owned()).spawn(read)?;
    Ok(wishes)
}

fn wish(event: &Event) -> Wish {
    let Event::Key(KeyEvent { code, modifiers, .. }) = event else { return Wish::Nothing };
    let with_control = modifiers.contains(KeyModifiers::CONTROL);
    match code {
        KeyCode::Esc => Wish::Quit,
        // With caps lock, or as terminals say it that tell Ctrl-C from Ctrl-Shift-C, letters come as capitals.
        KeyCode::Char(key) => match key.to_ascii_lowercase() {
            'q' => Wish::Quit,
            'c' if with_control => Wish::Quit,
            _ if with_control => Wish::Nothing,
            key => by_key(key).map_or(Wish::Nothing, Wish::Switch),
        },
        _ => Wish::Nothing,
    }
}

/// What the pictures are made of.
struct View<'v> {
    last_word: &'v LastWord,
    admin: String,
    readings: VecDeque<Reading>,
    scores: Scores,
}

impl<'v> View<'v> {
    fn new(stage: &Stage, last_word: &'v LastWord) -> Self {
        let scores = Scores::new(stage.algorithm(), stage.read());
        Self { last_word, admin: stage.addresses(), readings: VecDeque::from([stage.read()]), scores }
    }

    fn picture(&mut self, stage: &Stage) -> Picture {
        let now = stage.read();
        let window = self.readings.front().map_or_else(|| now.clone(), |earliest| now.since(earliest));
        self.readings.push_back(now.clone());
        if self.readings.len() > WINDOW {
            self.readings.pop_front();
        }
        let word = self.last_word.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Picture { scores: self.scores.lines(&now), now, window, words: [self.admin.clone(), word] }
    }

    fn switch(&mut self, stage: &mut Stage, algorithm: &str) {
        if algorithm == self.scores.current() {
            return;
        }
        if let Err(failure) = stage.switch_to(algorithm) {
            *self.last_word.lock().unwrap_or_else(PoisonError::into_inner) = failure.to_string();
        } else {
            self.scores.switch(algorithm, stage.read());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_switches_ends_or_does_nothing() {
        let key = |code, modifiers| wish(&Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(key(KeyCode::Char('r'), KeyModifiers::NONE), Wish::Switch("round_robin"));
        assert_eq!(key(KeyCode::Char('R'), KeyModifiers::SHIFT), Wish::Switch("round_robin"));
        assert_eq!(key(KeyCode::Char('r'), KeyModifiers::CONTROL), Wish::Nothing);
        for quits in ['q', 'Q'] {
            assert_eq!(key(KeyCode::Char(quits), KeyModifiers::NONE), Wish::Quit);
        }
        for quits in ['c', 'C'] {
            assert_eq!(key(KeyCode::Char(quits), KeyModifiers::CONTROL), Wish::Quit);
        }
        assert_eq!(key(KeyCode::Esc, KeyModifiers::NONE), Wish::Quit);
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), Wish::Nothing);
        assert_eq!(key(KeyCode::Up, KeyModifiers::NONE), Wish::Nothing);
    }
}
