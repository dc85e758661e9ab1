//! What shadows made of the same events as the active modules, over all workers and for as long as the process lives.

use super::plan::Plan;
use crate::release::compare::{Comparison, Report};
use crate::serve::Site;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The comparisons under way.
pub(super) struct Shadows {
    /// By module: the digests of the active module and of the shadow, and what was compared.
    found: Mutex<BTreeMap<String, ([Arc<str>; 2], Comparison)>>,
    site: Arc<Site>,
}

impl Shadows {
    pub(super) fn new(site: Arc<Site>) -> Self {
        Self { found: Mutex::default(), site }
    }

    fn found(&self) -> MutexGuard<'_, BTreeMap<String, ([Arc<str>; 2], Comparison)>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what the workers compared under `plan`. Another pair of digests begins anew.
    pub(super) fn take(&self, plan: &Plan, by_worker: Vec<Vec<Comparison>>) {
        if plan.shadows.is_empty() {
            return;
        }
        let mut found = self.found();
        for of_worker in by_worker {
            for (shadow, comparison) in plan.shadows.iter().zip(of_worker) {
                let active = &plan.modules[shadow.active];
                let name = &active.manifest().name;
                let digests = [Arc::clone(active.digest()), Arc::clone(shadow.module.digest())];
                match found.get_mut(name).filter(|(of, _)| *of == digests) {
                    Some((_, all)) => all.merge(comparison),
                    None => drop(found.insert(name.clone(), (digests, comparison))),
                }
            }
        }
        let reports = plan.shadows.iter().filter_map(|shadow| {
            let report = found.get(&plan.modules[shadow.active].manifest().name)?.1.report();
            Some((shadow.module.digest().to_string(), serde_json::to_value(report).unwrap_or_default()))
        });
        self.site.set_comparisons(reports.collect());
    }

    /// What is known of a module's shadow, by its digest.
    pub(super) fn report(&self, module: &str, shadow: &str) -> Option<Report> {
        let found = self.found();
        let (digests, comparison) = found.get(module)?;
        (*digests[1] == *shadow).then(|| comparison.report())
    }
}
