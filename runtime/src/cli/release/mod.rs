//! `lakeward deploy`, `shadow`, `promote`, `rollback`, `pause`, `resume` and `modules`: orders to a running pipeline, over its HTTP side.

mod args;
mod client;
mod show;

pub use args::{DeployArgs, ModuleArgs, ModulesArgs, PromoteArgs, RewindArgs, ServerArgs, ShadowArgs};
pub(super) use client::Client;
pub use client::ServerError;

use super::{Error, output};
use crate::clock;
use crate::release::compare::Report;
use crate::serve::orders::{Accepted, Released};
use crate::transform::{ModuleFile, version_name};
use serde::Deserialize;
use std::time::Duration;

/// How long an instance is waited for after the order was taken: it looks once a second, compiles, and ends a micro-batch.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// How long a shadow compares before it is reported on, where nothing else is said.
const SHADOW_FOR: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Modules {
    modules: Vec<Released>,
}

/// Makes a module active.
///
/// # Errors
/// When the file is no module, or the pipeline does not take it.
pub fn deploy(args: &DeployArgs) -> Result<(), Error> {
    let file = ModuleFile::read(&args.file)?;
    let client = Client::new(&args.server)?;
    let mut query: Vec<(&str, String)> = args.why.iter().map(|why| ("why", why.clone())).collect();
    query.extend(args.as_version.map(|version| ("as_version", version.to_string())));
    let choices = [("rebuild", args.rebuild), ("yes", args.yes), ("dry_run", args.dry_run)];
    query.extend(choices.map(|(name, is_chosen)| (name, is_chosen.to_string())));
    let accepted = offer(&client, file, args.as_version, query)?;
    let awaited = if args.rebuild { Awaited::Rewound } else { Awaited::Active };
    if args.dry_run {
        return answer(&args.server, &accepted);
    }
    finish(&client, &args.server, &accepted, awaited)
}

/// Whether orders can be given as things stand here: the address is one, and there is a token.
pub(super) fn can_order(args: &ServerArgs) -> Result<(), ServerError> {
    Client::new(args)?.token().map(|_| ())
}

/// Makes a module active that may stand in no file.
pub(super) fn deploy_module(file: ModuleFile, why: Option<&str>, args: &ServerArgs) -> Result<(), Error> {
    let client = Client::new(args)?;
    let accepted = offer(&client, file, None, why.iter().map(|why| ("why", (*why).to_owned())).collect())?;
    followed(&client, args, &accepted)
}

/// What is replaced is what was seen: whoever deploys meanwhile is told of, not run over.
fn offer(
    client: &Client,
    file: ModuleFile,
    version: Option<u32>,
    mut query: Vec<(&str, String)>,
) -> Result<Accepted, ServerError> {
    let name = deployed_name(&file, version);
    let seen = modules(client)?.into_iter().find(|released| released.module == name);
    query.extend(seen.map(|seen| ("replaces", seen.digest)));
    let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
    client.post("/v1/modules", &query, file.bytes)
}

/// The name under which a file is deployed.
fn deployed_name(file: &ModuleFile, version: Option<u32>) -> String {
    let name = &file.manifest.name;
    version.map_or_else(|| name.clone(), |version| version_name(name, version))
}

/// What an order is waited for to have come to, in the instance that took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// The order's digest runs.
    Active,
    /// The same, over products that went back first.
    Rewound,
    /// Nothing of the module runs.
    Paused,
}

/// Waits until the order's digest is active.
fn followed(client: &Client, args: &ServerArgs, accepted: &Accepted) -> Result<(), Error> {
    finish(client, args, accepted, Awaited::Active)
}

/// What would change, where that was the question.
/// Says what an order would do.
fn answer(args: &ServerArgs, accepted: &Accepted) -> Result<(), Error> {
    output::print(&if args.json {
        serde_json::to_string(accepted).unwrap_or_default() + "\n"
    } else {
        show::answered(accepted)
    })
}

/// Runs a module beside the active one and reports; or ends it.
///
/// # Errors
/// When the file is no module, or the pipeline does not take it.
pub fn shadow(args: &ShadowArgs) -> Result<(), Error> {
    let client = Client::new(&args.server)?;
    let version = args.as_version.map(|version| version.to_string());
    let mut query: Vec<(&str, &str)> = args.why.iter().map(|why| ("why", why.as_str())).collect();
    if let Some(name) = &args.end {
        let accepted: Accepted = client.delete(&format!("/v1/modules/{name}/shadow"), &query)?;
        return output::print(&if args.server.json {
            serde_json::to_string(&accepted).unwrap_or_default() + "\n"
        } else {
            format!("decision {}: module {name} has no shadow any more\n", accepted.sequence)
        });
    }
    if let Some(name) = &args.report {
        return report(&args.server, &client.get(&format!("/v1/modules/{name}/shadow"))?);
    }
    let Some(path) = &args.file else { return Ok(()) };
    let file = ModuleFile::read(path)?;
    let (name, digest) = (deployed_name(&file, args.as_version), file.digest.clone());
    query.extend(version.iter().map(|version| ("as_version", version.as_str())));
    let path = format!("/v1/modules/{name}/shadow");
    let stands =
        modules(&client)?.iter().any(|module| module.module == name && module.shadow.as_ref() == Some(&digest));
    if !stands {
        let accepted: Accepted = client.post(&path, &query, file.bytes)?;
        output::say(show::shadowed(&accepted));
    }
    let within = args.within.unwrap_or(SHADOW_FOR);
    let started = clock::instant();
    let found = loop {
        std::thread::sleep(ASK_EVERY);
        let found: Option<Report> = client.find(&path)?;
        let enough = match (args.records, &found) {
            (Some(records), found) => found.as_ref().is_some_and(|report| report.records >= records),
            (None, _) => started.elapsed() >= within,
        };
        match found {
            Some(found) if enough => break found,
            None if enough => return Err(Error::NothingCompared { module: name }),
            _ => {}
        }
    };
    report(&args.server, &found)
}

fn report(args: &ServerArgs, report: &Report) -> Result<(), Error> {
    let json = || serde_json::to_string(report).unwrap_or_default() + "\n";
    output::print(&if args.json { json() } else { report.to_string() })
}

/// Makes the shadow of a module active.
///
/// # Errors
/// When it has none, or a condition does not hold.
pub fn promote(args: &PromoteArgs) -> Result<(), Error> {
    let client = Client::new(&args.server)?;
    let is_file = std::path::Path::new(&args.module).extension().is_some_and(|kind| kind == "wasm");
    let name = if is_file {
        let file = ModuleFile::read(std::path::Path::new(&args.module))?;
        // It may run beside a version of its own as well.
        let is_shadow = |module: &Released| module.shadow.as_ref() == Some(&file.digest);
        match modules(&client)?.into_iter().find(is_shadow) {
            Some(found) => found.module,
            None => return Err(Error::NotTheShadow { module: file.manifest.name, path: args.module.clone() }),
        }
    } else {
        args.module.clone()
    };
    let conditions = args.conditions.iter().map(|condition| ("if", condition.as_str()));
    let query: Vec<(&str, &str)> = args.why.iter().map(|why| ("why", why.as_str())).chain(conditions).collect();
    let accepted: Accepted = client.post(&format!("/v1/modules/{name}/promote"), &query, Vec::new())?;
    followed(&client, &args.server, &accepted)
}

/// Takes the products of a module back, or says what that would undo.
///
/// # Errors
/// When there is no such place to go back to, or the pipeline cannot be asked.
pub fn rewind(args: &RewindArgs) -> Result<(), Error> {
    let client = Client::new(&args.server)?;
    let (rollback, dry_run) = (args.rollback.to_string(), args.dry_run.to_string());
    let mut query = vec![("to", args.to.as_str()), ("rollback", rollback.as_str()), ("dry_run", dry_run.as_str())];
    query.extend(args.why.iter().map(|why| ("why", why.as_str())));
    let accepted: Accepted = client.post(&format!("/v1/modules/{}/rewind", args.module), &query, Vec::new())?;
    if args.dry_run {
        return answer(&args.server, &accepted);
    }
    finish(&client, &args.server, &accepted, Awaited::Rewound)
}

/// Makes the digest before active again.
///
/// # Errors
/// When there is none, or the pipeline cannot be asked.
pub fn rollback(args: &ModuleArgs) -> Result<(), Error> {
    let client = Client::new(&args.server)?;
    let accepted = order(&client, args, "rollback")?;
    followed(&client, &args.server, &accepted)
}

/// Gives a module no more records.
///
/// # Errors
/// When it gets none already, or the pipeline cannot be asked.
pub fn pause(args: &ModuleArgs) -> Result<(), Error> {
    let client = Client::new(&args.server)?;
    let accepted = order(&client, args, "pause")?;
    finish(&client, &args.server, &accepted, Awaited::Paused)
}

/// Gives a module records again.
///
/// # Errors
/// When it is not paused, or the pipeline cannot be asked.
pub fn resume(args: &ModuleArgs) -> Result<(), Error> {
    let client = Client::new(&args.server)?;
    let accepted = order(&client, args, "resume")?;
    followed(&client, &args.server, &accepted)
}

/// Shows where the modules stand.
///
/// # Errors
/// When the pipeline cannot be asked, or has no such module.
pub fn list(args: &ModulesArgs) -> Result<(), Error> {
    let client = Client::new(&args.server)?;
    let modules = match &args.module {
        Some(name) => vec![client.get(&format!("/v1/modules/{name}"))?],
        None => modules(&client)?,
    };
    if args.server.json {
        return output::print(&(serde_json::to_string(&modules).unwrap_or_default() + "\n"));
    }
    output::print(&if args.module.is_some() { show::histories(&modules) } else { show::overview(&modules) })
}

fn modules(client: &Client) -> Result<Vec<Released>, ServerError> {
    client.get::<Modules>("/v1/modules").map(|found| found.modules)
}

fn order(client: &Client, args: &ModuleArgs, what: &str) -> Result<Accepted, ServerError> {
    let query: Vec<(&str, &str)> = args.why.iter().map(|why| ("why", why.as_str())).collect();
    client.post(&format!("/v1/modules/{}/{what}", args.module), &query, Vec::new())
}

/// Waits until the order has come to what is awaited, and says so.
fn finish(client: &Client, args: &ServerArgs, accepted: &Accepted, awaited: Awaited) -> Result<(), Error> {
    let asked = clock::instant();
    let path = format!("/v1/modules/{}", accepted.module);
    let outcome = loop {
        let found: Released = client.get(&path)?;
        let runs = found.running.as_ref() == Some(&accepted.digest);
        let is_there = match awaited {
            Awaited::Active => runs,
            Awaited::Rewound => runs && found.rewound >= Some(accepted.sequence),
            Awaited::Paused => found.running.is_none(),
        };
        if is_there {
            break show::Outcome::There;
        }
        if found.sequence > accepted.sequence {
            break show::Outcome::Overtaken;
        }
        if awaited != Awaited::Paused && found.sequence == accepted.sequence && found.paused.is_some() {
            break show::Outcome::Paused;
        }
        if asked.elapsed() >= PATIENCE {
            break show::Outcome::Awaited;
        }
        std::thread::sleep(ASK_EVERY);
    };
    output::print(&if args.json {
        serde_json::to_string(accepted).unwrap_or_default() + "\n"
    } else {
        show::accepted(accepted, awaited, outcome, asked.elapsed())
    })
}
