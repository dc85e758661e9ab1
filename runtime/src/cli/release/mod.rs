//! `lakeward deploy`, `rollback`, `pause`, `resume` and `modules`: orders to a running pipeline, over its HTTP side.

mod client;
mod show;

pub use client::ServerError;

use super::{DeployArgs, Error, ModuleArgs, ModulesArgs, ServerArgs};
use crate::clock;
use crate::serve::orders::{Accepted, Released};
use crate::transform::ModuleFile;
use client::Client;
use serde::Deserialize;
use std::time::Duration;

/// How long an instance is waited for after the order was taken: it looks once a second, compiles, and ends a micro-batch.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(100);

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
    let name = &file.manifest.name;
    // What is replaced is what was seen: whoever deploys meanwhile is told of, not run over.
    let seen = modules(&client)?.into_iter().find(|released| released.module == *name);
    let mut query: Vec<(&str, &str)> = args.why.iter().map(|why| ("why", why.as_str())).collect();
    if let Some(seen) = &seen {
        query.push(("replaces", &seen.digest));
    }
    let accepted: Accepted = client.post("/v1/modules", &query, file.bytes)?;
    finish(&client, &args.server, &accepted, Some(&accepted.digest))
}

/// Makes the digest before active again.
///
/// # Errors
/// When there is none, or the pipeline cannot be asked.
pub fn rollback(args: &ModuleArgs) -> Result<(), Error> {
    let client = Client::new(&args.server)?;
    let accepted = order(&client, args, "rollback")?;
    finish(&client, &args.server, &accepted, Some(&accepted.digest))
}

/// Gives a module no more records.
///
/// # Errors
/// When it gets none already, or the pipeline cannot be asked.
pub fn pause(args: &ModuleArgs) -> Result<(), Error> {
    let client = Client::new(&args.server)?;
    let accepted = order(&client, args, "pause")?;
    finish(&client, &args.server, &accepted, None)
}

/// Gives a module records again.
///
/// # Errors
/// When it is not paused, or the pipeline cannot be asked.
pub fn resume(args: &ModuleArgs) -> Result<(), Error> {
    let client = Client::new(&args.server)?;
    let accepted = order(&client, args, "resume")?;
    finish(&client, &args.server, &accepted, Some(&accepted.digest))
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
        println!("{}", serde_json::to_string(&modules).unwrap_or_default());
    } else {
        print!("{}", if args.module.is_some() { show::histories(&modules) } else { show::overview(&modules) });
    }
    Ok(())
}

fn modules(client: &Client) -> Result<Vec<Released>, ServerError> {
    client.get::<Modules>("/v1/modules").map(|found| found.modules)
}

fn order(client: &Client, args: &ModuleArgs, what: &str) -> Result<Accepted, ServerError> {
    let query: Vec<(&str, &str)> = args.why.iter().map(|why| ("why", why.as_str())).collect();
    client.post(&format!("/v1/modules/{}/{what}", args.module), &query, Vec::new())
}

/// Waits until the instance that took the order runs `digest` (nothing of the module without one), and says so.
fn finish(client: &Client, args: &ServerArgs, accepted: &Accepted, digest: Option<&str>) -> Result<(), Error> {
    let asked = clock::instant();
    let path = format!("/v1/modules/{}", accepted.module);
    let followed = loop {
        let found: Released = client.get(&path)?;
        // A later order has taken this one's place.
        let is_past = found.sequence > accepted.sequence;
        let is_there = found.running.as_deref() == digest || (digest.is_some() && found.paused.is_some());
        if is_past || is_there {
            break true;
        }
        if asked.elapsed() >= PATIENCE {
            break false;
        }
        std::thread::sleep(ASK_EVERY);
    };
    if args.json {
        println!("{}", serde_json::to_string(accepted).unwrap_or_default());
    } else {
        print!("{}", show::accepted(accepted, digest.is_some(), followed, asked.elapsed()));
    }
    Ok(())
}
