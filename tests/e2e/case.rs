//! One case: its name, its broker, what it needs, and the function that plays it.

use anyhow::{Context, Result, anyhow};
use lakeward_tests::requirements::{Need, missing};
use lakeward_tests::stage::{BrokerKind, Shared, Stage};
use libtest_mimic::{Completion, Failed, Trial};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What a case does.
type Play = Box<dyn FnOnce(&Stage) -> Result<()> + Send>;

/// A case on one broker.
pub(crate) struct Case {
    name: String,
    broker: BrokerKind,
    needs: Vec<Need>,
    play: Play,
}

impl Case {
    /// A case that needs no broker.
    pub(crate) fn new(name: &str, needs: &[Need], play: impl FnOnce(&Stage) -> Result<()> + Send + 'static) -> Self {
        Self { name: name.to_owned(), broker: BrokerKind::None, needs: needs.to_vec(), play: Box::new(play) }
    }

    /// A case on the embedded broker.
    pub(crate) fn embedded(
        name: &str,
        needs: &[Need],
        play: impl FnOnce(&Stage) -> Result<()> + Send + 'static,
    ) -> Self {
        Self { broker: BrokerKind::Embedded, ..Self::new(&format!("{name}::embedded"), needs, play) }
    }

    /// A case on a real Kafka.
    pub(crate) fn kafka(name: &str, needs: &[Need], play: impl FnOnce(&Stage) -> Result<()> + Send + 'static) -> Self {
        let needs = [needs, &[Need::Kafka]].concat();
        Self { broker: BrokerKind::Kafka, ..Self::new(&format!("{name}::kafka"), &needs, play) }
    }

    /// The same case on both brokers.
    pub(crate) fn both(name: &str, needs: &[Need], play: fn(&Stage) -> Result<()>) -> [Self; 2] {
        [Self::kafka(name, needs, play), Self::embedded(name, needs, play)]
    }

    /// The case as the test runner wants it.
    pub(crate) fn trial(self, shared: &Arc<Shared>) -> Trial {
        let shared = Arc::clone(shared);
        let name = self.name.clone();
        Trial::ignorable_test(name, move || match missing(&self.needs) {
            Some(remedy) if std::env::var_os("CI").is_some() => Err(Failed::from(remedy)),
            Some(remedy) => Ok(Completion::ignored_with(remedy)),
            None => self.run(shared).map(|()| Completion::Completed),
        })
    }

    fn run(self, shared: Arc<Shared>) -> Result<(), Failed> {
        let stage = Stage::set_up(&self.name, self.broker, shared).map_err(|error| format!("{error:#}"))?;
        let play = self.play;
        let played = catch_unwind(AssertUnwindSafe(|| play(&stage))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Err(anyhow!("{}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")))
        });
        played
            .with_context(|| format!("{}\nthe case failed", stage.logs()))
            .map_err(|error| format!("{error:#}").into())
    }
}
