//! What is wrong with a line, shown on a terminal's width. Knows no format.

/// Characters of a line before the first that is pointed at, and behind it.
const BEFORE: usize = 50;
const BEHIND: usize = 70;
/// Of a line of the message itself, and the most lines.
const LINE_MAX: usize = 400;
const LINES_MAX: usize = 12;

/// The message of a parser that shows the line with `^` under the place, where that line may be as long as a file: the part around the place.
pub(crate) fn narrowed(message: &str) -> String {
    let message = message.replace(|letter: char| letter.is_control() && letter != '\n', "\u{fffd}");
    let lines: Vec<&str> = message.lines().take(LINES_MAX).collect();
    let is_pointer = |line: &str| line.contains('^') && line.trim_start().starts_with('|');
    let Some(pointer) = lines.iter().position(|line| is_pointer(line)) else { return all_cut(&lines) };
    let margin = lines[pointer].find('|').map_or(0, |bar| bar + 2);
    let place = lines[pointer].find('^').unwrap_or_default().saturating_sub(margin);
    let show = |(number, line): (usize, &&str)| match number {
        _ if number == pointer => part(line, margin, place, "   ", ""),
        _ if number + 1 == pointer => part(line, margin, place, "...", "..."),
        _ => cut(line),
    };
    lines.iter().enumerate().map(show).collect::<Vec<_>>().join("\n")
}

fn all_cut(lines: &[&str]) -> String {
    lines.iter().map(|line| cut(line)).collect::<Vec<_>>().join("\n")
}

fn cut(line: &str) -> String {
    let cut: String = line.chars().take(LINE_MAX).collect();
    if cut.len() < line.len() { cut + "..." } else { cut }
}

/// The line's margin, and of the rest what is around the place.
fn part(line: &str, margin: usize, place: usize, before: &str, behind: &str) -> String {
    let text: Vec<char> = line.chars().skip(margin).collect();
    let from = place.saturating_sub(BEFORE).min(text.len());
    let until = (place + BEHIND).min(text.len());
    let shown: String = text[from..until].iter().collect();
    let margin: String = line.chars().take(margin).collect();
    let [before, behind] = [(from > 0, before), (until < text.len(), behind)]
        .map(|(is_cut, dots)| if is_cut { dots } else { "" });
    format!("{margin}{before}{shown}{behind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(before: usize, wrong: usize, behind: usize) -> String {
        let line = format!("{}{}{}", "b".repeat(before), "w".repeat(wrong), "a".repeat(behind));
        let pointer = format!("{}{}", " ".repeat(before), "^".repeat(wrong));
        format!(
            "TOML parse error at line 12, column 9\n   |\n12 | {line}\n   | {pointer}\nexpected something\n"
        )
    }

    #[test]
    fn short_lines_stay_as_they_are() {
        assert_eq!(narrowed(&message(9, 3, 20)), message(9, 3, 20).trim_end());
        assert_eq!(narrowed("no place"), "no place");
        assert_eq!(narrowed("no\u{1b}[2J"), "no\u{fffd}[2J");
        assert!(narrowed(&"x".repeat(1_000_000)).len() < 500);
        assert!(narrowed(&"x\n".repeat(1_000_000)).len() < 500);
    }

    #[test]
    fn of_a_long_line_the_place_is_shown() {
        for (before, wrong, behind) in [(0, 10_000, 0), (10_000, 5, 10_000), (70, 1, 0), (3, 1, 500)] {
            let shown = narrowed(&message(before, wrong, behind));
            let lines: Vec<&str> = shown.lines().collect();
            assert!(lines.len() == 5 && lines.iter().all(|line| line.len() < 140), "{shown}");
            assert_eq!(lines[2].find('w'), lines[3].find('^'), "{shown}");
        }
    }
}
