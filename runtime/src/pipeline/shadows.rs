//! What shadows made of the same events as the active modules, over all workers and for as long as the process lives.

use super::plan::Plan;
use crate::release::compare::{Comparison, Report};
use crate::serve::{Compared, Site};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What was compared of one module.
struct Found {
    /// The digests of the active module and of the shadow.
    digests: [Arc<str>; 2],
    comparison: Comparison,
}

/// The comparisons under way.
pub(super) struct Shadows {
    /// By module.
    found: Mutex<BTreeMap<String, Found>>,
    site: Arc<Site>,
}

impl Shadows {
    pub(super) fn new(site: Arc<Site>) -> Self {
        Self { found: Mutex::default(), site }
    }

    fn found(&self) -> MutexGuard<'_, BTreeMap<String, Found>> {
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
                match found.get_mut(name).filter(|found| found.digests == digests) {
                    Some(found) => found.comparison.merge(comparison),
                    None => drop(found.insert(name.clone(), Found { digests, comparison })),
                }
            }
        }
        let reports = plan.shadows.iter().filter_map(|shadow| {
            let name = &plan.modules[shadow.active].manifest().name;
            let report = found.get(name)?.comparison.report();
            let json = |report: &Report| serde_json::to_value(report).unwrap_or_default();
            let compared = Compared { for_operators: json(&report), for_everybody: json(&report.for_everybody()) };
            Some(((name.clone(), shadow.module.digest().to_string()), compared))
        });
        self.site.set_comparisons(reports.collect());
    }

    /// What is known of a module's shadow, by its digest.
    pub(super) fn report(&self, module: &str, shadow: &str) -> Option<Report> {
        let found = self.found();
        let Found { digests, comparison } = found.get(module)?;
        (*digests[1] == *shadow).then(|| comparison.report())
    }
}
