//! `lakeward dead-letters`: which records could not become rows and why, and sending them through their module again.

mod args;
mod json;
mod text;

pub use args::{
    By, DeadLettersArgs, DeadLettersCommand, FilterArgs, ListArgs, RequestArgs, ShowArgs, StageArg, StatusArg,
};

use super::{Error, output, run, verify};
use crate::audit::Subjects;
use crate::clock::Clock;
use crate::config::Config;
use crate::letters::{Filter, Letters, Origin, Request, request};
use crate::sink::Warehouse;
use crate::sink::redrives::Action;

/// Does what is asked with dead letters.
///
/// # Errors
/// When the configuration or an argument is wrong, the lake cannot be read, or the request is refused.
pub fn dead_letters(args: &DeadLettersArgs) -> Result<(), Error> {
    match &args.command {
        DeadLettersCommand::List(args) => list(args),
        DeadLettersCommand::Show(args) => show(args),
        DeadLettersCommand::Redrive(args) => ask(Action::Redrive, args),
        DeadLettersCommand::Discard(args) => ask(Action::Discard, args),
    }
}

fn list(args: &ListArgs) -> Result<(), Error> {
    let config = Config::load(&args.config)?;
    let lake = verify::open_lake(&config)?;
    let filter = Filter { status: args.status.status(), ..filter(&config, &lake, &args.filter)? };
    let (limit, by) = (if args.by.is_some() { 0 } else { args.limit }, args.by);
    let mut listing = run::runtime()?.block_on(async {
        let letters = Letters::open(&lake, &config.pipeline).await?;
        letters.list(&filter, limit, by.map(args::By::grouping)).await
    })?;
    let groups = listing.groups.len();
    listing.groups.truncate(args.limit);
    output::print(if args.json { json::listing(&listing, by) } else { text::listing(&listing, by, groups) })
}

fn show(args: &ShowArgs) -> Result<(), Error> {
    let config = Config::load(&args.config)?;
    let origin = origin(&args.origin)?;
    let lake = verify::open_lake(&config)?;
    let history = run::runtime()?.block_on(async {
        let letters = Letters::open(&lake, &config.pipeline).await?;
        letters.history(&origin).await
    })?;
    if history.is_empty() {
        return Err(Error::Argument { reason: format!("there is no dead letter of {origin}") });
    }
    output::print(if args.json { json::history(&origin, &history) } else { text::history(&origin, &history) })
}

fn ask(action: Action, args: &RequestArgs) -> Result<(), Error> {
    let config = Config::load(&args.config)?;
    let lake = verify::open_lake(&config)?;
    let filter = filter(&config, &lake, &args.filter)?;
    if args.origins.is_empty() && filter == Filter::default() && !args.all {
        return Err(Error::Argument {
            reason: "say which letters: name records, give conditions, or say --all".to_owned(),
        });
    }
    let wanted = Request {
        action,
        origins: args.origins.iter().map(|text| origin(text)).collect::<Result<_, _>>()?,
        filter,
        who: args.who.clone(),
        at_ms: Clock::system().now_ms(),
        dry_run: args.dry_run,
    };
    let receipt = run::runtime()?.block_on(request(&lake, &config.pipeline, &wanted))?;
    output::print(if args.json { json::receipt(&receipt) } else { text::receipt(action, &receipt) })
}

fn origin(text: &str) -> Result<Origin, Error> {
    let wrong =
        || Error::Argument { reason: format!("{text:?} names no record: write orders#0/3:4711, as the list does") };
    Origin::parse(text).ok_or_else(wrong)
}

/// The filter of these conditions. The modules are read only where somebody asks for a product.
fn filter(config: &Config, lake: &Warehouse, args: &FilterArgs) -> Result<Filter, Error> {
    let mut filter = args.filter()?;
    if let Some(product) = &filter.product {
        let subjects = Subjects::of(&run::runtime()?.block_on(verify::active_modules(config, lake))?);
        let silver = subjects.silver.iter().filter(|silver| silver.path == *product);
        filter.product_modules = silver.map(|silver| silver.module.clone()).collect();
        if filter.product_modules.is_empty() && subjects.golds.iter().all(|gold| gold.path != *product) {
            return Err(Error::Argument { reason: format!("there is no product {product}") });
        }
    }
    Ok(filter)
}
