//! The metrics page, read.
//!
//! Knows the text form of samples, not which ones the proxy has.

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub text: String,
}

impl Metrics {
    /// The sum of all samples of that name whose labels hold all the given ones; 0 when there are none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.samples(name, labels).iter().map(|(_, value)| value).sum()
    }

    /// Labels as written, and value, of each sample that fits.
    pub fn samples(&self, name: &str, labels: &[(&str, &str)]) -> Vec<(&str, f64)> {
        let fits =
            |text: &str| labels.iter().all(|(key, value)| text.contains(&format!("{key}=\"{value}\"")));
        let samples = self.text.lines().filter_map(sample).filter(|(found, ..)| *found == name);
        samples.filter(|(_, text, _)| fits(text)).map(|(_, text, value)| (text, value)).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.samples(name, &[]).is_empty()
    }
}

/// Name, label text and value of one line; comments and blank lines have none.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    if line.starts_with('#') {
        return None;
    }
    let (series, rest) = match line.split_once('{') {
        Some((name, rest)) => {
            let (labels, rest) = rest.split_once("} ")?;
            ((name, labels), rest)
        }
        None => line.split_once(' ').map(|(name, rest)| ((name, ""), rest))?,
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((series.0, series.1, value))
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn samples_are_summed_over_the_labels_that_were_not_asked_for() {
        let text =
            "# TYPE a counter\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"1\",y=\"3\"} 4\nb 5\n".to_owned();
        let metrics = Metrics { text };
        assert!((metrics.sum("a_total", &[("x", "1")]) - 7.0).abs() < f64::EPSILON);
        assert!((metrics.sum("a_total", &[("y", "3")]) - 4.0).abs() < f64::EPSILON);
        assert!(metrics.has("b") && !metrics.has("c"));
    }
}
