//! What everybody on the control side may look at: the snapshot in force, where it listens, what the checks found.
//! Changes nothing.

use crate::listening::Listening;
use crate::lower::Previous;
use crate::tls::CertificateFacts;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_balance::EndpointId;
use tidegate_telemetry::Registry;
use tidegate_telemetry::families::DRAINING;

/// Shared by the control plane's tasks and the admin listener.
#[derive(Debug)]
pub(crate) struct Overview {
    pub(crate) registry: Arc<Registry>,
    pub(crate) workers: usize,
    /// In service, over all workers.
    pub(crate) requests: Arc<AtomicUsize>,
    current: ArcSwap<Previous>,
    listening: ArcSwap<Vec<Listening>>,
    certificates: ArcSwap<Vec<CertificateFacts>>,
    draining: AtomicBool,
    /// Why an endpoint is in the state it is in, as the last one to change it said.
    reasons: Mutex<HashMap<EndpointId, Arc<str>>>,
}

impl Overview {
    pub(crate) fn new(
        registry: Arc<Registry>,
        workers: usize,
        requests: Arc<AtomicUsize>,
        current: Previous,
    ) -> Self {
        Self {
            registry,
            workers,
            requests,
            current: ArcSwap::from_pointee(current),
            listening: ArcSwap::default(),
            certificates: ArcSwap::default(),
            draining: AtomicBool::new(false),
            reasons: Mutex::default(),
        }
    }

    /// The configuration and the snapshot in force.
    pub(crate) fn current(&self) -> Arc<Previous> {
        self.current.load_full()
    }

    pub(crate) fn listening(&self) -> Arc<Vec<Listening>> {
        self.listening.load_full()
    }

    /// What listeners show their clients.
    pub(crate) fn certificates(&self) -> Arc<Vec<CertificateFacts>> {
        self.certificates.load_full()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed) // a fact by itself
    }

    pub(crate) fn reason(&self, id: &EndpointId) -> Option<Arc<str>> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(crate) fn replace(&self, current: Previous) {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let upstreams = || current.snapshot.clusters.iter().flat_map(|cluster| &cluster.upstreams);
        reasons.retain(|id, _| upstreams().any(|upstream| upstream.id == *id));
        drop(reasons);
        self.current.store(Arc::new(current));
    }

    pub(crate) fn listens_on(&self, listening: Vec<Listening>) {
        self.listening.store(Arc::new(listening));
    }

    pub(crate) fn shows(&self, certificates: Vec<CertificateFacts>) {
        self.certificates.store(Arc::new(certificates));
    }

    pub(crate) fn starts_draining(&self) {
        self.draining.store(true, Relaxed);
        self.registry.gauge(&DRAINING, &[]).set(1);
    }

    pub(crate) fn explain(&self, id: &EndpointId, reason: &str) {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        if reasons.get(id).is_none_or(|known| **known != *reason) {
            reasons.insert(id.clone(), reason.into());
        }
    }
}
