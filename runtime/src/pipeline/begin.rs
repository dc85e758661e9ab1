//! Where a module begins in a partition: the tables that all modules feed have records of others there, which it must not take for its own.

use super::plan::{Plan, TableKind};
use crate::checkpoint::SourcePartition;
use crate::sink::Table;

/// Where a module begins that none of its own tables knows a partition of: where these do, since everything from there on is new to it.
/// `None` where one of them does, or where the module is not of the plan.
///
/// | its own tables           | in the tables that all feed it begins  |
/// |--------------------------|----------------------------------------|
/// | have no offset yet       | where they do: at the start of the log |
/// | one of them has an offset | where these tables are                 |
pub(super) fn begin(
    plan: &Plan,
    tables: &[Table],
    module: &str,
    partition: &SourcePartition,
    floors: &[i64],
) -> Option<i64> {
    let own = own_tables(plan, module)?;
    // Where it was made anew of what is left, it begins there.
    let is_known =
        own.iter().any(|table| tables[*table].offsets().get(partition).is_some_and(|stored| stored >= floors[*table]));
    if is_known {
        return None;
    }
    own.iter().map(|table| floors[*table]).min()
}

/// The tables that only this module feeds and that are committed with its records.
pub(super) fn own_tables(plan: &Plan, module: &str) -> Option<Vec<usize>> {
    let module = plan.modules.iter().find(|of| of.manifest().name == module)?;
    let manifest = module.manifest();
    let path = |name: &str| format!("{}/{name}", manifest.owner);
    let silver = manifest.products.iter().map(|product| format!("silver/{}", path(&product.name)));
    let state = manifest.gold.iter().map(|gold| format!("_lakeward/state/{}", path(&gold.name)));
    let own: Vec<String> = silver.chain(state).collect();
    let is_own = |index: &usize| {
        let table = &plan.tables[*index];
        matches!(table.kind, TableKind::Silver | TableKind::State) && own.contains(&table.spec.path)
    };
    Some((0..plan.tables.len()).filter(is_own).collect())
}
