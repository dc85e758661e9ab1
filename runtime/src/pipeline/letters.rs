//! Answers what operators ask about dead letters, one after the other; the lake is read and written as the command line does.

use super::desk::{Desk, guarded, known, unavailable};
use super::{Error, commit};
use crate::letters::{self, Query, answer};
use crate::serve::orders::{About, Inquiry, Refusal};
use crate::sink::Warehouse;
use crate::sink::redrives::Action;
use lakeward_manifest::Manifest;
use serde_json::Value;
use tokio::sync::mpsc;

impl Desk {
    /// Answers until nobody can ask any more.
    pub(super) async fn answer_letters(self, mut inquiries: mpsc::Receiver<Inquiry>) {
        while let Some(inquiry) = inquiries.recv().await {
            let answer = guarded(self.about_letters(&inquiry)).await;
            // Who asked may have gone; what was requested stays.
            let _ = inquiry.reply.send(answer);
        }
    }

    async fn about_letters(&self, inquiry: &Inquiry) -> Result<Value, Refusal> {
        let Inquiry { operator, module, about, parameters, .. } = inquiry;
        let given = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let unfit = |detail| Refusal::Unfit(detail, Vec::new());
        let mut query = Query::parse(given).map_err(unfit)?;
        if matches!(about, About::Redrive | About::Discard) {
            query.chooses().map_err(|error| refusal(*about, error))?;
        }
        if query.filter.module.as_ref().is_some_and(|of| of != module) {
            return Err(unfit(format!("these are the letters of module {module}, not of another")));
        }
        query.filter.module = Some(module.clone());
        let (lake, pipeline) = {
            let mut releases = self.releases.lock().await;
            let Some(lake) = releases.lake() else {
                return Err(Refusal::Unavailable("the pipeline is starting, its lake is not open yet".to_owned()));
            };
            let standing = known(&mut releases, operator, module).await?;
            if let Some(product) = &query.filter.product {
                let active = standing.active().unwrap_or_default();
                let found = releases.module(module, active).await.map_err(|error| unavailable(&error))?;
                if !makes(found.manifest(), product) {
                    return Err(Refusal::Unknown(format!("module {module} makes no product {product}")));
                }
                query.filter.product_modules = [module.clone()].into();
            }
            (lake, releases.config().pipeline.clone())
        };
        let at_ms = self.clock.now_ms();
        let answered = respond(&lake, &pipeline, *about, &query, &operator.name, at_ms);
        answered.await.map_err(|error| refusal(*about, error))
    }
}

async fn respond(
    lake: &Warehouse,
    pipeline: &str,
    about: About,
    query: &Query,
    who: &str,
    at_ms: i64,
) -> Result<Value, letters::Error> {
    let ask = async |action| {
        let requested = answer::ask(lake, pipeline, action, query, who, at_ms).await?;
        tracing::info!(action = action.name(), letters = requested.letters, who, "dead letters are requested");
        Ok::<_, letters::Error>(serde_json::to_value(requested))
    };
    let value = match about {
        About::List => serde_json::to_value(answer::list(lake, pipeline, query).await?),
        About::Show => serde_json::to_value(answer::show(lake, pipeline, query).await?),
        About::Redrive => ask(Action::Redrive).await?,
        About::Discard => ask(Action::Discard).await?,
    };
    Ok(value.unwrap_or_default())
}

/// Whether a product is one of a module's own.
fn makes(manifest: &Manifest, product: &str) -> bool {
    let own = manifest.products.iter().map(|product| &product.name).chain(manifest.gold.iter().map(|gold| &gold.name));
    own.into_iter().any(|name| format!("{}/{name}", manifest.owner) == *product)
}

fn refusal(about: About, error: letters::Error) -> Refusal {
    match error {
        letters::Error::Argument { reason } if about == About::Show => Refusal::Unknown(reason),
        letters::Error::Argument { reason } => Refusal::Unfit(reason, Vec::new()),
        letters::Error::Refused { .. } => Refusal::Conflict(error.to_string()),
        letters::Error::Sink(source) => unavailable(&Error::from(source)),
        letters::Error::Columns { .. } => Refusal::Unavailable(commit::chain(&error)),
    }
}
