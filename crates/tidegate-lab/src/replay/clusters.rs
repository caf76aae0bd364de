//! Which clusters and endpoints a log names: endpoints of the same name in two clusters are two. Knows no times.

use super::ReplayError;
use crate::suggest::{did_you_mean, option, shown};
use std::collections::HashMap;
use std::fmt::Write as _;

/// Clusters that are spoken of one by one.
const NAMED_MAX: usize = 12;

/// Endpoints and clusters are numbered as they come.
#[derive(Clone, Debug, Default)]
pub(super) struct Clusters {
    all: Vec<Cluster>,
    numbers: HashMap<String, usize>,
    /// The cluster of each endpoint.
    of_endpoints: Vec<usize>,
}

#[derive(Clone, Debug, Default)]
struct Cluster {
    /// Empty where the log does not say.
    name: String,
    requests: u64,
    endpoints: HashMap<String, u32>,
}

impl Clusters {
    /// Counts a request that an endpoint answered, and returns the endpoint's number: the next one for a new one.
    pub(super) fn count(&mut self, cluster: &str, endpoint: &str) -> u32 {
        let number = self.number(cluster);
        self.all[number].requests += 1;
        self.endpoint(cluster, endpoint)
    }

    /// The same for an endpoint that did not answer.
    pub(super) fn endpoint(&mut self, cluster: &str, endpoint: &str) -> u32 {
        let number = self.number(cluster);
        let cluster = &mut self.all[number];
        if let Some(known) = cluster.endpoints.get(endpoint) {
            return *known;
        }
        let next = self.of_endpoints.len() as u32;
        cluster.endpoints.insert(endpoint.to_owned(), next);
        self.of_endpoints.push(number);
        next
    }

    /// `numbers`: the new one of each endpoint.
    pub(super) fn renumber(&mut self, numbers: &[u32]) {
        let before = self.of_endpoints.clone();
        for (cluster, number) in before.into_iter().zip(numbers) {
            self.of_endpoints[*number as usize] = cluster;
        }
        let all = self.all.iter_mut().flat_map(|cluster| cluster.endpoints.values_mut());
        all.for_each(|endpoint| *endpoint = numbers[*endpoint as usize]);
    }

    fn number(&mut self, name: &str) -> usize {
        if let Some(known) = self.numbers.get(name) {
            return *known;
        }
        self.numbers.insert(name.to_owned(), self.all.len());
        self.all.push(Cluster { name: name.to_owned(), ..Cluster::default() });
        self.all.len() - 1
    }

    /// Whether each endpoint is of that cluster.
    pub(super) fn membership(&self, name: &str) -> Result<Vec<bool>, ReplayError> {
        let Some(wanted) = self.numbers.get(name) else { return Err(self.unknown(name)) };
        Ok(self.of_endpoints.iter().map(|cluster| cluster == wanted).collect())
    }

    fn unknown(&self, name: &str) -> ReplayError {
        let known = || self.all.iter().map(|cluster| cluster.name.as_str()).filter(|name| !name.is_empty());
        if known().next().is_none() {
            return ReplayError::Clusterless;
        }
        let near = did_you_mean(name, known());
        ReplayError::UnknownCluster { name: name.to_owned(), near, known: self.listed() }
    }

    /// Several clusters are no fleet: what goes to one cannot go to another.
    pub(super) fn complaint(&self) -> Option<ReplayError> {
        let busiest = self.by_requests().into_iter().find(|cluster| !cluster.name.is_empty())?;
        (self.all.len() > 1).then(|| ReplayError::SeveralClusters {
            count: self.all.len(),
            listed: self.listed(),
            option: option("--cluster", &shown(&busiest.name)),
        })
    }

    /// `shop (1200 requests), api (80)`, the busiest first.
    fn listed(&self) -> String {
        let mut text = String::new();
        for (place, cluster) in self.by_requests().into_iter().take(NAMED_MAX).enumerate() {
            let (comma, unit) = if place == 0 { ("", " requests") } else { (", ", "") };
            let name = if cluster.name.is_empty() { "none named".into() } else { shown(&cluster.name) };
            let _ = write!(text, "{comma}{name} ({}{unit})", cluster.requests);
        }
        if self.all.len() > NAMED_MAX {
            let _ = write!(text, " and {} more", self.all.len() - NAMED_MAX);
        }
        text
    }

    fn by_requests(&self) -> Vec<&Cluster> {
        let mut all: Vec<&Cluster> = self.all.iter().collect();
        all.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.name.cmp(&b.name)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clusters(requests: &[(&str, &str)]) -> Clusters {
        let mut clusters = Clusters::default();
        for (cluster, endpoint) in requests {
            clusters.count(cluster, endpoint);
        }
        clusters
    }

    #[test]
    fn endpoints_of_one_name_in_two_clusters_are_two() {
        let mut clusters = clusters(&[("a", "s1"), ("b", "s1"), ("a", "s2")]);
        assert_eq!(
            (clusters.count("b", "s1"), clusters.count("a", "s2"), clusters.count("b", "s2")),
            (1, 2, 3)
        );
        assert_eq!(clusters.membership("b").unwrap(), [false, true, false, true]);
    }

    #[test]
    fn several_are_named_with_their_requests_and_one_is_no_complaint() {
        assert_eq!(clusters(&[("", "e"), ("", "f")]).complaint(), None);
        assert_eq!(clusters(&[("a", "e"), ("a", "f")]).complaint(), None);
        let several = clusters(&[("api", "e"), ("shop", "e"), ("", "e"), ("shop", "f")]).complaint().unwrap();
        assert_eq!(
            several.to_string(),
            "its requests went to 3 clusters, and a replay is of one: shop (2 requests), none named (1), api (1); \
             choose it with --cluster shop"
        );
        let many: Vec<String> = (0..30).map(|number| format!("c{number:02}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "e")).collect();
        let many = clusters(&many).complaint().unwrap().to_string();
        assert!(many.contains("c11 (1) and 18 more; choose") && !many.contains("c12"), "{many}");
    }

    #[test]
    fn a_name_that_is_not_there_is_answered_with_those_that_are() {
        let named = clusters(&[("shop", "e"), ("api", "e")]);
        assert_eq!(
            named.membership("shpo").unwrap_err().to_string(),
            "no endpoint of a cluster `shpo` (did you mean `shop`?) answered a request in it; there are api (1 \
             requests), shop (1)"
        );
        assert_eq!(clusters(&[("", "e")]).membership("shop").unwrap_err(), ReplayError::Clusterless);
    }
}
