//! The products of paused modules: nothing is read for them, and what they came to is answered on.

use super::commit::chain;
use super::committer::forgettable_us;
use super::drive::MOVES_EVERY;
use super::others::Others;
use super::plan::Plan;
use super::report;
use super::restore::restore;
use super::torn::{self, Begun};
use super::{Error, Pipeline, Remedy, session};
use crate::aggregate::View;
use crate::serve::status;
use crate::sink::redrives::sequence_of;
use crate::sink::{Table, Warehouse};
use lakeward_manifest::Layer;
use std::sync::Arc;
use tokio::task::JoinSet;

/// What is shown of modules that are paused.
pub(super) struct Still {
    pub(super) plan: Arc<Plan>,
    pub(super) views: Vec<Arc<View>>,
    /// What they have begun and not finished.
    pub(super) begun: Vec<Begun>,
    /// Shows where they stand: another instance may commit what it has in hand after this one has stopped. Ends with the session.
    _following: JoinSet<()>,
}

impl Still {
    /// Restores what paused modules came to, beside those that are `running`. Where that cannot be shown the others go on without.
    pub(super) async fn open(pipeline: &Pipeline, lake: &Warehouse, running: &Plan) -> Result<Option<Self>, Error> {
        match Self::try_open(pipeline, lake, running).await {
            Err(error) if error.remedy() != Remedy::Retry => {
                tracing::warn!(error = %chain(&error), "the products of paused modules cannot be shown");
                Ok(None)
            }
            opened => opened,
        }
    }

    async fn try_open(pipeline: &Pipeline, lake: &Warehouse, running: &Plan) -> Result<Option<Self>, Error> {
        let Some(release) = pipeline.releases.lock().await.still(running).await? else { return Ok(None) };
        let (config, plan) = (Arc::clone(&pipeline.config), release.plan);
        let mut tables = session::open_tables(&config, &plan, lake).await?;
        let slots =
            tokio::task::block_in_place(|| session::discover(&config, &plan, &pipeline.seen))?.into_slots(&tables);
        let mut named: Vec<_> = slots.iter().map(|slot| slot.partition.clone()).collect();
        named.extend(slots.iter().flat_map(|slot| plan.readers(slot.topic).map(|name| slot.partition.of_reader(name))));
        named.extend(slots.iter().map(|slot| sequence_of(&slot.partition.topic, slot.partition.partition)));
        for table in &mut tables {
            table.find_offsets(lake, &named).await?;
        }
        let begun = torn::find_paused(&plan, &tables, &slots);
        let mut others = Others::new(&plan, &[], slots, config.gold.idle_after);
        let views: Vec<Arc<View>> = plan.golds.iter().map(|gold| Arc::new(View::new(Arc::clone(&gold.plan)))).collect();
        for (index, gold) in plan.golds.iter().enumerate() {
            let (state, forgotten) = (&tables[gold.state_table], forgettable_us(&config, gold, &tables));
            restore(index, gold, state, &mut [], &mut others, &views[index], forgotten).await?;
        }
        let clock = pipeline.clock.clone();
        others.follow(&plan, &mut tables, &views, clock.now_ms()).await?;
        let mut following = JoinSet::new();
        let (followed, shown, site) = (Arc::clone(&plan), views.clone(), Arc::clone(&pipeline.site));
        following.spawn(async move {
            loop {
                let products = products(&followed, &tables);
                site.update_status(|status| report::renew_products(status, &products));
                tokio::time::sleep(MOVES_EVERY).await;
                if let Err(error) = others.follow(&followed, &mut tables, &shown, clock.now_ms()).await {
                    tracing::warn!(error = %chain(&error), "the products of paused modules cannot be looked at");
                }
            }
        });
        Ok(Some(Self { plan, views, begun, _following: following }))
    }
}

/// Where the tables stand.
fn products(plan: &Plan, tables: &[Table]) -> Vec<status::Product> {
    let silver = plan.products.iter().map(|of| (of.path.as_str(), Layer::Silver, of.table));
    let gold = plan.golds.iter().map(|gold| (gold.plan.path(), Layer::Gold, gold.gold_table));
    silver.chain(gold).map(|(path, layer, table)| report::product(path, layer, &tables[table])).collect()
}
