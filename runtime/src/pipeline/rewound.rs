//! How far rewinds and rebuilds of modules are carried out: what other orders have to wait for.

use super::Error;
use super::releases::Release;
use super::rewind::marker;
use super::target::own_tables;
use crate::config::Config;
use crate::release::Standing;
use crate::sink::{Table, Warehouse, system};
use lakeward_manifest::Manifest;

/// Whether another rewind may take the place of a module's newest one: that is done, or nothing of it is, since the module is paused.
pub(super) async fn is_replaceable(
    config: &Config,
    lake: &Warehouse,
    manifest: &Manifest,
    of: &Standing,
) -> Result<bool, Error> {
    let Some((number, _)) = &of.rewind else { return Ok(true) };
    let has = async |path: &str| is_marked(config, lake, path, &manifest.name, *number).await;
    if has(system::COMMITS).await? {
        return Ok(true);
    }
    if of.paused.is_none() {
        return Ok(false);
    }
    for path in own_tables(manifest).iter().map(String::as_str).chain([system::DEAD_LETTERS]) {
        if has(path).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether nothing of a module's newest rebuild is left to be done.
pub(super) async fn is_done(config: &Config, lake: &Warehouse, name: &str, of: &Standing) -> Result<bool, Error> {
    match &of.rewind {
        Some((number, target)) if target.rebuild => is_marked(config, lake, system::COMMITS, name, *number).await,
        _ => Ok(true),
    }
}

/// The tables that rebuilds will give other columns, and have not yet.
pub(super) async fn to_renew(config: &Config, lake: &Warehouse, release: &Release) -> Result<Vec<String>, Error> {
    let mut tables = Vec::new();
    for (name, number, _) in release.rewinds.iter().filter(|(_, _, target)| target.rebuild) {
        let module = release.plan.modules.iter().find(|module| module.manifest().name == *name);
        if let Some(module) = module
            && !is_marked(config, lake, system::COMMITS, name, *number).await?
        {
            tables.extend(own_tables(module.manifest()));
        }
    }
    Ok(tables)
}

async fn is_marked(config: &Config, lake: &Warehouse, path: &str, name: &str, number: i64) -> Result<bool, Error> {
    let Some(mut table) = Table::find(lake, &config.pipeline, path).await? else { return Ok(false) };
    table.find_offsets(lake, &[marker(name)]).await?;
    Ok(table.offsets().get(&marker(name)).is_some_and(|done| done >= number))
}
