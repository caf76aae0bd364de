//! How long one endpoint is silent between two answers, lately. Pure arithmetic; knows no other endpoint.
//!
//! Where all requests are alike, a long silence is a stalled endpoint. Where one route takes a millisecond and another a
//! second, it is four slow requests at work, and everyday. What is usual is learned, so that only more than that counts.

/// A memory of about 33 answers.
const GAIN: f32 = 0.03;
/// Longer silences are stalls, whose exact length says nothing about what is usual.
const LONGEST: f32 = 1e3;

/// Silences in units of the gap that Little's law lets expect.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gaps {
    mean: f32,
    mean_square: f32,
}

impl Gaps {
    pub(crate) fn learn(&mut self, silence: f32) {
        let silence = silence.min(LONGEST);
        self.mean += GAIN * (silence - self.mean);
        self.mean_square += GAIN * (silence * silence - self.mean_square);
    }

    /// How old the silence is, as a mean, that somebody finds who looks at any moment: 1 when answers come at random.
    pub(crate) fn age(self) -> f32 {
        if self.mean > 0.0 { self.mean_square / (2.0 * self.mean) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Stream;

    fn age_of(mut gap: impl FnMut(&mut Stream) -> f64) -> f32 {
        let (mut stream, mut gaps, mut sum) = (Stream::new(5), Gaps::default(), 0.0);
        for answer in 0..5_000 {
            gaps.learn(gap(&mut stream) as f32);
            sum += if answer < 1_000 { 0.0 } else { gaps.age() };
        }
        sum / 4_000.0
    }

    #[test]
    fn answers_that_come_at_random_or_in_step_are_never_long_in_coming() {
        let at_random = age_of(|stream| -(1.0 - stream.next_unit()).ln());
        let in_step = age_of(|_| 1.0);
        assert!((0.8..1.2).contains(&at_random) && (0.4..0.6).contains(&in_step), "{at_random} {in_step}");
    }

    #[test]
    fn where_most_gaps_are_short_and_some_are_long_patience_grows() {
        let mixed = age_of(|stream| if stream.next_unit() < 0.05 { 20.0 } else { 0.1 });
        assert!(mixed > 5.0, "{mixed}");
    }
}
