//! What the HTTP side can see: the pipeline writes it, requests only read it.

use super::orders::{Operators, Released};
use super::sending::AT_ONCE;
use super::{Catalog, Status};
use crate::aggregate::View;
use crate::telemetry::Metrics;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Everything the HTTP side can see. Reading never waits for the pipeline, nor the pipeline for a reader.
pub struct Site {
    published: ArcSwap<Published>,
    status: ArcSwap<Status>,
    readiness: ArcSwap<Readiness>,
    metrics: Arc<Metrics>,
    released: ArcSwap<Vec<Released>>,
    /// By module.
    rewound: ArcSwap<BTreeMap<String, i64>>,
    comparisons: ArcSwap<Comparisons>,
    operators: Operators,
    answers: Arc<Semaphore>,
    sends: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
}

/// Modules that are received at the same time: each is in memory as a whole, and a person sends one at a time.
const UPLOADS: usize = 2;

/// By module and the digest of its shadow: how they compare.
pub type Comparisons = BTreeMap<(String, String), Compared>;

/// A report about a shadow.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// With what may quote masked values.
    pub for_operators: serde_json::Value,
    /// Without.
    pub for_everybody: serde_json::Value,
}

/// The products and, for the gold ones, their answers; they change together, when modules do.
#[derive(Default)]
pub(super) struct Published {
    pub(super) catalog: Catalog,
    /// By path.
    pub(super) views: BTreeMap<String, Arc<View>>,
}

/// Whether requests should be sent here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Yes: the state is loaded, answers are true.
    Ready,
    /// No; why.
    NotReady(String),
}

impl Site {
    /// A site without products, of a pipeline that is not ready.
    #[must_use]
    pub fn new(status: Status, metrics: Arc<Metrics>) -> Self {
        Self {
            published: ArcSwap::default(),
            status: ArcSwap::from_pointee(status),
            readiness: ArcSwap::from_pointee(Readiness::NotReady("modules and state are not loaded yet".to_owned())),
            metrics,
            released: ArcSwap::default(),
            rewound: ArcSwap::default(),
            comparisons: ArcSwap::default(),
            operators: Operators::default(),
            // One that answers and one that waits for memory, for each core; more would only hold more rows at once.
            answers: Arc::new(Semaphore::new(2 * std::thread::available_parallelism().map_or(1, NonZero::get))),
            sends: Arc::new(Semaphore::new(AT_ONCE)),
            uploads: Arc::new(Semaphore::new(UPLOADS)),
        }
    }

    /// The same with people who may change what runs.
    #[must_use]
    pub fn operated_by(self, operators: Operators) -> Self {
        Self { operators, ..self }
    }

    /// Shows where the modules stand.
    pub fn set_released(&self, released: Vec<Released>) {
        for of in &released {
            self.metrics.module_parked.with_label_values(&[of.module.as_str()]).set(i64::from(of.parked));
        }
        self.released.store(Arc::new(released));
    }

    /// Where the modules stand.
    #[must_use]
    pub fn released(&self) -> Arc<Vec<Released>> {
        self.released.load_full()
    }

    /// Shows, by module, the number of the newest rewind after which its tables and answers are shown.
    pub fn set_rewound(&self, rewound: BTreeMap<String, i64>) {
        self.rewound.store(Arc::new(rewound));
    }

    pub(super) fn rewound(&self) -> Arc<BTreeMap<String, i64>> {
        self.rewound.load_full()
    }

    /// Shows how shadows compare.
    pub fn set_comparisons(&self, comparisons: Comparisons) {
        self.comparisons.store(Arc::new(comparisons));
    }

    pub(super) fn comparisons(&self) -> Arc<Comparisons> {
        self.comparisons.load_full()
    }

    pub(super) fn operators(&self) -> &Operators {
        &self.operators
    }

    /// Waits until rows may be answered; it is the next one's turn when what this gives is dropped.
    pub(super) async fn turn_to_answer(&self) -> OwnedSemaphorePermit {
        turn(&self.answers).await
    }

    /// The turns to send a large answer.
    pub(super) fn sends(&self) -> &Arc<Semaphore> {
        &self.sends
    }

    /// Waits until a module may be received; it is the next one's turn when what this gives is dropped.
    pub(super) async fn turn_to_upload(&self) -> OwnedSemaphorePermit {
        turn(&self.uploads).await
    }

    /// Shows these products. Every gold product of the catalog needs its view.
    pub fn publish(&self, catalog: Catalog, views: impl IntoIterator<Item = Arc<View>>) {
        let views = views.into_iter().map(|view| (view.plan().path().to_owned(), view)).collect();
        self.published.store(Arc::new(Published { catalog, views }));
    }

    /// Replaces the status.
    pub fn set_status(&self, status: Status) {
        self.status.store(Arc::new(status));
    }

    /// Changes a part of the status; `change` may run more than once when several threads do so.
    pub fn update_status(&self, change: impl Fn(&mut Status)) {
        self.status.rcu(|status| {
            let mut status = Status::clone(status);
            change(&mut status);
            status
        });
    }

    /// Says whether requests should be sent here.
    pub fn set_readiness(&self, readiness: Readiness) {
        self.readiness.store(Arc::new(readiness));
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        self.status.load_full()
    }

    /// The counters behind `/metrics`.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub(super) fn published(&self) -> Arc<Published> {
        self.published.load_full()
    }

    pub(super) fn readiness(&self) -> Arc<Readiness> {
        self.readiness.load_full()
    }
}

async fn turn(turns: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(turns).acquire_owned().await.expect("nobody closes these")
}
