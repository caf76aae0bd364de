//! How likely own times are, with whatever distribution says most of them. Knows no slots and no unit of time: what is long is so beside what
//! answers took.
//!
//! A distribution has to pay for what it may choose, or whichever slots scatter own times most come out likeliest: with narrow bins, chance leaves
//! one time here and two there, and a distribution that has just these bins fits them better than the true one. So bins are not
//! fitted: a sequence of times is as likely as it is before any of them is known (Krichevsky and Trofimov 1981 for wide bins, which are all
//! possible; Ewens 1972 for narrow ones, of which there are few that come again and again).

use super::stays::RESOLUTION;
use std::f64::consts::{E, TAU};

/// Octaves below the grain of the log's clock that are told apart.
const OCTAVES_BELOW: usize = 8;
/// Octaves in which times may be: from milliseconds to weeks.
const OCTAVES: usize = 32;
/// Narrow bins of an octave.
const FINE: usize = 64;
/// Wide bins of an octave: few for a few answers, more where many show an edge.
const WIDE: [usize; 3] = [4, 8, 16];
/// Of the logarithms of times that differ by less than a narrow bin.
const LEAST_VARIANCE: f64 = 1e-5;
/// In a line hardly anybody is answered before it can be its turn: what something before the slots answers, and what the clock has wrong. Slots
/// that need more such exceptions pay for them.
const TOO_SOON_MOST: f64 = 0.02;
/// What Krichevsky and Trofimov count in each bin beforehand.
const BEFOREHAND: f64 = 0.5;

/// What times are compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// A typical time, in nanoseconds.
    unit: f64,
    /// Of the log's clock, in units: a power of two, so that the bins are the same in any unit.
    grain: f64,
}

impl Scale {
    pub(super) fn of(typical: f64) -> Self {
        Self { unit: typical, grain: (RESOLUTION / typical).log2().round().exp2() }
    }

    /// Where bins begin.
    fn least(self) -> f64 {
        self.grain / f64::from(1_u32 << OCTAVES_BELOW)
    }
}

/// How many own times were about as long.
#[derive(Clone)]
pub(super) struct OwnTimes {
    scale: Scale,
    too_soon: u64,
    /// Less than the least.
    nothing: u64,
    /// `FINE` an octave, from the least on.
    counts: Vec<u64>,
    /// What else is to be added to the logarithm of the likelihood.
    extra: f64,
}

/// Times of one bin, and how wide it is.
struct Bin {
    count: u64,
    width: f64,
}

impl OwnTimes {
    pub(super) fn new(scale: Scale) -> Self {
        Self { scale, too_soon: 0, nothing: 0, counts: Vec::new(), extra: 0.0 }
    }

    /// Who was answered while it should have waited may have been so at any time.
    pub(super) fn count(&mut self, nanoseconds: f64, waits: f64) {
        let (time, least) = (nanoseconds / self.scale.unit, self.scale.least());
        if nanoseconds < -RESOLUTION {
            self.too_soon += 1;
            self.extra -= (waits / self.scale.unit).ln();
        } else if time < least {
            self.nothing += 1;
        } else {
            let place = place(time) - place(least);
            if place >= self.counts.len() {
                self.counts.resize(place + 1, 0);
            }
            self.counts[place] += 1;
        }
    }

    /// A time that was counted is that of who had a part of a slot at the end.
    pub(super) fn had(&mut self, part: f64) {
        self.extra += part.ln();
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.too_soon += other.too_soon;
        self.nothing += other.nothing;
        self.extra += other.extra;
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
    }

    /// The logarithm.
    pub(super) fn likelihood(&self) -> f64 {
        let smooth = self.lognormal().max(self.exponential());
        let wide = WIDE.map(|per_octave| self.even_within(per_octave));
        wide.into_iter().fold(smooth, f64::max).max(self.alike()) + self.kinds() + self.extra
    }

    fn some(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many were too soon or took no time; the latter are even within a grain.
    fn kinds(&self) -> f64 {
        let some = self.some();
        let in_turn = self.nothing + some;
        let too_soon = (self.too_soon as f64 / (self.too_soon + in_turn).max(1) as f64).min(TOO_SOON_MOST);
        log_of_all(self.too_soon, too_soon)
            + log_of_all(in_turn, 1.0 - too_soon)
            + log_of_all(self.nothing, self.nothing as f64 / in_turn as f64)
            + log_of_all(some, some as f64 / in_turn as f64)
            - self.nothing as f64 * self.scale.grain.ln()
    }

    /// Less what the choice of the two parameters is worth (Akaike: one each).
    fn lognormal(&self) -> f64 {
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for (times, center) in self.centers() {
            let logarithm = center.ln();
            count += times;
            sum += times * logarithm;
            squares += times * logarithm * logarithm;
        }
        let variance = (squares / count - (sum / count).powi(2)).max(LEAST_VARIANCE);
        if count > 0.0 { -count / 2.0 * (TAU * E * variance).ln() - sum - 2.0 } else { 0.0 }
    }

    fn exponential(&self) -> f64 {
        let (count, sum) = self
            .centers()
            .fold((0.0, 0.0), |(count, sum), (times, center)| (count + times, sum + times * center));
        if count > 0.0 { -count * (1.0 + (sum / count).ln()) - 1.0 } else { 0.0 }
    }

    /// How many are about in the middle of each narrow bin.
    fn centers(&self) -> impl Iterator<Item = (f64, f64)> {
        let least = self.scale.least();
        let center = move |(place, &times): (usize, &u64)| {
            let part = ((place % FINE) as f64 + 0.5) / FINE as f64;
            (times as f64, least * ((place / FINE) as f64).exp2() * (1.0 + part))
        };
        self.counts.iter().enumerate().filter(|(_, times)| **times > 0).map(center)
    }

    /// Anywhere between the first bin and the last one.
    fn even_within(&self, per_octave: usize) -> f64 {
        let bins = self.bins(per_octave);
        let is_used = |bin: &Bin| bin.count > 0;
        let (first, last) = (bins.iter().position(is_used), bins.iter().rposition(is_used));
        let Some((first, last)) = first.zip(last) else { return 0.0 };
        let each = |bin: &Bin| {
            ln_gamma(bin.count as f64 + BEFOREHAND) - ln_gamma(BEFOREHAND) - bin.count as f64 * bin.width.ln()
        };
        let beforehand = (last - first + 1) as f64 * BEFOREHAND;
        let all = ln_gamma(self.some() as f64 + beforehand) - ln_gamma(beforehand);
        let ends = 2.0 * ((OCTAVES * per_octave) as f64).ln();
        bins[first..=last].iter().map(each).sum::<f64>() - all - ends
    }

    /// In few narrow bins, wherever they are: after `n` times the next one is in a new bin with the chance `1 / (n + 1)`.
    fn alike(&self) -> f64 {
        let anywhere = ((OCTAVES * FINE) as f64).ln();
        let each = |bin: &Bin| ln_gamma(bin.count as f64) - bin.count as f64 * bin.width.ln() - anywhere;
        let used = self.bins(FINE).into_iter().filter(|bin| bin.count > 0);
        used.map(|bin| each(&bin)).sum::<f64>() - ln_gamma(self.some() as f64 + 1.0)
    }

    /// From the grain on so many an octave, but none narrower than the grain; all below it is one.
    fn bins(&self, per_octave: usize) -> Vec<Bin> {
        let grain = self.scale.grain;
        let (below, above) = self.counts.split_at(self.counts.len().min(OCTAVES_BELOW * FINE));
        let mut bins = vec![Bin { count: below.iter().sum(), width: grain }];
        for (octave, counts) in above.chunks(FINE).enumerate() {
            let together = (FINE / per_octave).max(FINE >> octave.min(FINE.ilog2() as usize));
            let width = grain * (octave as f64).exp2() * together as f64 / FINE as f64;
            bins.extend(counts.chunks(together).map(|counts| Bin { count: counts.iter().sum(), width }));
        }
        bins
    }
}

/// The logarithm of how likely it is that so many are all of what has that chance.
fn log_of_all(count: u64, chance: f64) -> f64 {
    if count == 0 { 0.0 } else { count as f64 * chance.ln() }
}

/// Stirling's series, to 1e-7: below 8 it is told from what is above.
fn ln_gamma(x: f64) -> f64 {
    if x < 8.0 {
        return ln_gamma(x + 1.0) - x.ln();
    }
    (x - 0.5) * x.ln() - x + TAU.ln() / 2.0 + 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3))
}

/// Octave and `FINE`th of it.
fn place(time: f64) -> usize {
    (time.to_bits() >> (f64::MANTISSA_DIGITS - 1 - FINE.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const MS: f64 = 1e6;

    fn likelihood(typical: f64, times: impl IntoIterator<Item = f64>) -> f64 {
        let mut own = OwnTimes::new(Scale::of(typical));
        times.into_iter().for_each(|time| own.count(time, MS));
        own.likelihood()
    }

    #[test]
    fn the_gamma_function_is_that_of_factorials() {
        let mut logarithm = 0.0;
        for n in 1..200 {
            assert!((ln_gamma(f64::from(n)) - logarithm).abs() < 1e-6, "{n}");
            logarithm += f64::from(n).ln();
        }
        assert!((ln_gamma(0.5) - (TAU / 2.0).ln() / 2.0).abs() < 1e-6);
    }

    /// Lognormal ones, so that no distribution is likelier than the true one but by chance.
    #[test]
    fn few_times_of_a_wide_spread_are_no_likelier_than_they_are() {
        for (count, seed) in
            [30, 100, 400, 2_000].into_iter().flat_map(|count| (0..20).map(move |seed| (count, seed)))
        {
            let mut random = Random::new(seed);
            let normal: Vec<f64> = (0..count).map(|_| random.normal()).collect();
            let truly = |normal: &f64| -normal * normal / 2.0 - TAU.ln() / 2.0 - normal;
            let truth: f64 = normal.iter().map(truly).sum();
            let told = likelihood(1_000.0 * MS, normal.iter().map(|normal| 1_000.0 * MS * normal.exp()));
            assert!((-6.0..6.0).contains(&(told - truth)), "{count}, {seed}: {told}, truly {truth}");
        }
    }

    #[test]
    fn equal_times_are_much_likelier_than_others() {
        let equal = likelihood(100.0 * MS, [100.0 * MS; 200]);
        let other = likelihood(100.0 * MS, (0..200).map(|number| (50.0 + f64::from(number) / 2.0) * MS));
        assert!(equal > other + 200.0, "{equal} {other}");
    }

    #[test]
    fn many_that_were_too_soon_are_unlikely() {
        let soon = |every: usize| {
            likelihood(
                100.0 * MS,
                (0..1_000).map(|number| if number % every == 0 { -50.0 * MS } else { 100.0 * MS }),
            )
        };
        let [few, many] = [100, 2].map(soon);
        assert!(few > many + 1_000.0, "{few} {many}");
    }

    /// Times, and what they are compared with, in another unit: as likely.
    #[test]
    fn the_unit_of_time_is_no_matter() {
        let mut random = Random::new(7);
        let times: Vec<f64> = (0..500).map(|_| 1_000.0 * MS * random.exponential()).collect();
        let [one, ten] =
            [1.0, 10.0].map(|unit| likelihood(1_000.0 * MS * unit, times.iter().map(|time| time * unit)));
        assert!((one - ten).abs() < 1.0, "{one} {ten}");
    }
}
