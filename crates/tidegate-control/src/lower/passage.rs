//! What becomes of connections that a listener passes on as they are.

use super::routes::{retry, timeouts};
use std::collections::HashMap;
use tidegate_balance::Priority;
use tidegate_config::{Config, Course as ConfiguredCourse, HostPattern, Passage as ConfiguredPassage};
use tidegate_proxy::snapshot::{Course, Passage, Policy};

pub(super) fn lower(config: &Config, configured: &ConfiguredPassage) -> Passage {
    let mut names: HashMap<String, Vec<Course>> = HashMap::new();
    for (name, towards) in &configured.names {
        names.entry(pattern(name.as_ref())).or_default().push(course(config, towards));
    }
    Passage { names, rest: configured.rest.as_ref().map(|rest| course(config, rest)) }
}

fn pattern(name: Option<&HostPattern>) -> String {
    match name {
        None => "*".to_owned(),
        Some(HostPattern::Exact(name)) => name.clone(),
        Some(HostPattern::Wildcard(base)) => format!("*.{base}"),
    }
}

fn course(config: &Config, configured: &ConfiguredCourse) -> Course {
    // A checked configuration names clusters that are there.
    let position = config.clusters.iter().position(|cluster| cluster.name == configured.cluster);
    Course {
        cluster: position.unwrap_or(usize::MAX),
        protocols: configured.protocols.iter().map(|protocol| protocol.as_bytes().into()).collect(),
        policy: Policy {
            timeouts: timeouts(&configured.timeout),
            body_bytes_max: None,
            body_rate_min: None,
            retry: retry(&configured.retry),
            hedge: None,
            preserve_host: true,
            priority: Priority::default(),
        },
    }
}
