//! Orders that bring a module: in the place of the one of its name, beside it as a version of its own, or as its shadow.

use super::desk::{Decided, allowed, known, overtaken, short, unavailable, unfit};
use super::releases::Releases;
use super::target::own_tables;
use super::{Error, commit::chain, rebuild};
use crate::release::compat::{self, Breaking, Way};
use crate::release::{Action, Standing, Target};
use crate::serve::orders::{Offer, Operator, Refusal};
use crate::sink::Table;
use crate::transform::{FIRST_VERSION, ModuleFile, deployed_as, version_name, version_of};
use lakeward_manifest::Manifest;

/// A module becomes active: what it changes is said, what it breaks is refused.
pub(super) async fn deploy(releases: &mut Releases, operator: &Operator, offer: Offer) -> Result<Decided, Refusal> {
    let file = parse(&offer.bytes)?;
    allowed(operator, &file.manifest.owner)?;
    let manifest = named(&file, offer.as_version)?;
    let module = manifest.name.clone();
    let standing = releases.log().and_then(|(_, log)| log.standing(&module)).unwrap_or_default();
    if offer.as_version.is_some() {
        has_a_place(releases, operator, &file, &manifest, &standing).await?;
    }
    if standing.active().is_none() && offer.as_version.is_none() {
        has_no_tables(releases, &manifest, "another module has made it; give the product another name").await?;
    }
    if standing.active() == Some(file.digest.as_str()) {
        return Err(Refusal::Conflict(format!("module {module} is at {} already", short(&file.digest))));
    }
    if let (Some(expected), Some(active)) = (offer.replaces, standing.active())
        && expected != active
    {
        return Err(Refusal::Conflict(overtaken(releases, &module)));
    }
    is_namesake(releases, &file, &standing).await?;
    tokio::task::block_in_place(|| releases.compile(&file)).map_err(|error| unfit(&error))?;
    let (action, target, changes) = if offer.rebuild {
        let (target, changes) = rebuild(releases, &standing, &manifest, offer.yes).await?;
        (Action::Rebuild, Some(target), changes)
    } else {
        (Action::Deploy, None, fit(releases, &module, &standing, &manifest).await?)
    };
    Ok(Decided {
        module,
        standing,
        action,
        digest: Some(file.digest.clone()),
        version: Some(manifest.version),
        file: Some(file),
        target,
        changes,
    })
}

/// What is made anew by a module that need not fit the tables, as long as it writes the same ones.
async fn rebuild(
    releases: &mut Releases,
    standing: &Standing,
    new: &Manifest,
    yes: bool,
) -> Result<(Target, Vec<String>), Refusal> {
    let name = &new.name;
    let Some(active) = standing.active() else {
        return Err(Refusal::Conflict(format!("nothing is deployed as module {name} that could be rebuilt")));
    };
    let old = releases.module(name, active).await.map_err(|error| unavailable(&error))?;
    let found = compat::compare(old.manifest(), new);
    let (mended, left): (Vec<_>, Vec<_>) =
        found.breaking.iter().partition(|breaking| breaking.ways.contains(&Way::Rebuild));
    let lines = |breaking: Vec<&Breaking>| -> Vec<String> {
        breaking.into_iter().map(|breaking| line(&breaking.product, &breaking.column, &breaking.what)).collect()
    };
    if !left.is_empty() {
        return Err(Refusal::Unfit("no rebuild makes up for this".to_owned(), lines(left)));
    }
    let Some(lake) = releases.lake() else { return Err(unavailable(&Error::NoRelease)) };
    let finding = rebuild::find(releases.config(), &lake, old.manifest(), new, yes);
    let (target, does) = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(finding))?;
    Ok((target, lines(mended).into_iter().chain(does).collect()))
}

/// A module that runs beside the active one of its name. It need not fit the tables: its rows go nowhere.
pub(super) async fn shadow(
    releases: &mut Releases,
    operator: &Operator,
    bytes: &[u8],
    as_version: Option<u32>,
) -> Result<Decided, Refusal> {
    let file = parse(bytes)?;
    let manifest = named(&file, as_version)?;
    let module = manifest.name.clone();
    let standing = known(releases, operator, &module).await?;
    allowed(operator, &file.manifest.owner)?;
    if let Some(why) = &standing.paused {
        return Err(Refusal::Conflict(format!("module {module} gets no records to compare over: {why}")));
    }
    if standing.active() == Some(&file.digest) {
        return Err(Refusal::Conflict(format!("{} is the active module itself", short(&file.digest))));
    }
    is_namesake(releases, &file, &standing).await?;
    tokio::task::block_in_place(|| releases.compile(&file)).map_err(|error| unfit(&error))?;
    let mut changes = Vec::new();
    if let Err(Refusal::Unfit(_, breaking)) = fit(releases, &module, &standing, &manifest).await {
        changes.push("it can be compared, but not promoted:".to_owned());
        changes.extend(breaking);
    }
    Ok(Decided {
        module,
        standing,
        action: Action::Shadow,
        digest: Some(file.digest.clone()),
        version: Some(manifest.version),
        file: Some(file),
        target: None,
        changes,
    })
}

/// What changes for readers of the products when a module takes the place of the active one; refused where something breaks.
pub(super) async fn fit(
    releases: &mut Releases,
    name: &str,
    standing: &Standing,
    new: &Manifest,
) -> Result<Vec<String>, Refusal> {
    let Some(active) = standing.active().map(str::to_owned) else { return Ok(Vec::new()) };
    let old = releases.module(name, &active).await.map_err(|error| unavailable(&error))?;
    let found = compat::compare(old.manifest(), new);
    if !found.is_compatible() {
        let reasons = found.breaking.iter().map(|breaking| line(&breaking.product, &breaking.column, &breaking.what));
        let mut detail = "the module breaks what its tables and their readers rely on".to_owned();
        let plain = releases.stored(&active).await.map_err(|error| unavailable(&error))?;
        let next = version_of(&plain.manifest().name, name).map_or(FIRST_VERSION, |version| version + 1);
        let ways: Vec<String> = found.ways().map(|way| way.command(next)).collect();
        if !ways.is_empty() {
            detail += &format!("; ways on: {}", ways.join(", or "));
        }
        return Err(Refusal::Unfit(detail, reasons.collect()));
    }
    let harmless = found.additions.iter().chain(&found.changes);
    Ok(harmless.map(|change| line(&change.product, &change.column, &change.what)).collect())
}

/// Whether a module that was active before makes nothing that the active one has left out meanwhile.
pub(super) fn makes_no_more(active: &Manifest, before: &Manifest) -> Result<(), Refusal> {
    let made = own_tables(active);
    let Some(more) = own_tables(before).into_iter().find(|path| !made.contains(path)) else { return Ok(()) };
    Err(Refusal::Conflict(format!(
        "it makes {more}, which the active module does not: `lakeward rewind --rollback` goes back to where that stood, \
         `lakeward deploy --rebuild` with its file makes all anew"
    )))
}

/// A difference in a line, behind where it is.
fn line(product: &Option<String>, column: &Option<String>, what: &str) -> String {
    let of: Vec<&str> = [product, column].into_iter().flatten().map(String::as_str).collect();
    if of.is_empty() { what.to_owned() } else { format!("{}: {what}", of.join(" ")) }
}

fn parse(bytes: &[u8]) -> Result<ModuleFile, Refusal> {
    ModuleFile::parse(bytes.to_vec())
        .map_err(|error| Refusal::Unfit("this is not a module that can be run".to_owned(), vec![chain(&error)]))
}

/// What the module says of itself under the name that it is to be deployed as.
fn named(file: &ModuleFile, version: Option<u32>) -> Result<Manifest, Refusal> {
    let Some(version) = version else { return Ok(file.manifest.clone()) };
    let name = version_name(&file.manifest.name, version);
    let refused = || {
        let what = format!("{version} is no version that can stand beside a module: the first is {FIRST_VERSION}");
        Refusal::Unfit(what, Vec::new())
    };
    deployed_as(&file.manifest, &name).ok_or_else(refused)
}

/// Whether a version can stand beside its module: there is one, it is another, and nobody has the version's tables.
async fn has_a_place(
    releases: &mut Releases,
    operator: &Operator,
    file: &ModuleFile,
    version: &Manifest,
    standing: &Standing,
) -> Result<(), Refusal> {
    let name = &file.manifest.name;
    let beside = releases.log().and_then(|(_, log)| log.standing(name));
    if beside.and_then(|beside| beside.active().map(str::to_owned)).is_none() {
        return Err(Refusal::Conflict(format!(
            "nothing is deployed as module {name} that a version could stand beside: deploy it without one"
        )));
    }
    let beside = known(releases, operator, name).await?;
    if beside.active() == Some(&file.digest) {
        let digest = short(&file.digest);
        return Err(Refusal::Conflict(format!(
            "{digest} is what module {name} runs: a version of it would be the same"
        )));
    }
    if standing.active().is_some() {
        return Ok(());
    }
    has_no_tables(releases, version, "take another version").await
}

/// Whether none of a module's tables is there: what another module rejected or left out of them nobody would ever be told.
async fn has_no_tables(releases: &Releases, manifest: &Manifest, way: &str) -> Result<(), Refusal> {
    let Some(lake) = releases.lake() else { return Err(unavailable(&Error::NoRelease)) };
    for path in own_tables(manifest) {
        let found = Table::find(&lake, &releases.config().pipeline, &path).await;
        if found.map_err(|error| unavailable(&error.into()))?.is_some() {
            return Err(Refusal::Conflict(format!(
                "there is a table {path} already, which would be gone on with where it stands: {way}"
            )));
        }
    }
    Ok(())
}

/// A name is that of one module: `retail_v2` is a version of `retail`, or a module that calls itself so, and never first one and then the other.
async fn is_namesake(releases: &mut Releases, file: &ModuleFile, standing: &Standing) -> Result<(), Refusal> {
    let Some(active) = standing.active() else { return Ok(()) };
    let active = releases.stored(active).await.map_err(|error| unavailable(&error))?;
    let (own, found) = (&file.manifest.name, &active.manifest().name);
    if own == found {
        return Ok(());
    }
    Err(Refusal::Conflict(format!(
        "that name is taken: what is deployed under it is of module {found}, this is one of module {own}"
    )))
}
