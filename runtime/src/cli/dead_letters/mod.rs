//! `lakeward dead-letters`: which records could not become rows and why, and sending them through their module again.

mod args;
mod server;
mod text;

pub use args::{
    By, DeadLettersArgs, DeadLettersCommand, FilterArgs, ListArgs, PlaceArgs, RequestArgs, ShowArgs, StageArg,
    StatusArg,
};

use super::{Error, output, run, verify};
use crate::audit::Subjects;
use crate::clock::Clock;
use crate::config::Config;
use crate::letters::{Query, answer};
use crate::sink::Warehouse;
use crate::sink::redrives::Action;
use args::{Given, named};
use serde::Serialize;
use server::Place;

/// Does what is asked with dead letters.
///
/// # Errors
/// When the configuration or an argument is wrong, the lake cannot be read or nobody answers, or the request is refused.
pub fn dead_letters(args: &DeadLettersArgs) -> Result<(), Error> {
    match &args.command {
        DeadLettersCommand::List(args) => list(args),
        DeadLettersCommand::Show(args) => show(args),
        DeadLettersCommand::Redrive(args) => ask(Action::Redrive, args),
        DeadLettersCommand::Discard(args) => ask(Action::Discard, args),
    }
}

fn list(args: &ListArgs) -> Result<(), Error> {
    let given = args.given();
    let mut query = query(&given)?;
    let listed = match Place::of(&args.place)? {
        Place::Server(server) => server.get("", &given)?,
        Place::Lake(config, lake) => {
            know_product(&config, &lake, &mut query)?;
            run::runtime()?.block_on(answer::list(&lake, &config.pipeline, &query))?
        }
    };
    print(args.json, &listed, || text::listing(&listed, args.by.map(named).as_deref()))
}

fn show(args: &ShowArgs) -> Result<(), Error> {
    let given = args.given();
    let query = query(&given)?;
    let history = match Place::of(&args.place)? {
        Place::Server(server) => server.get("/show", &given)?,
        Place::Lake(config, lake) => run::runtime()?.block_on(answer::show(&lake, &config.pipeline, &query))?,
    };
    print(args.json, &history, || text::history(&history))
}

fn ask(action: Action, args: &RequestArgs) -> Result<(), Error> {
    let given = args.given();
    let mut query = query(&given)?;
    query.chooses()?;
    let requested = match Place::of(&args.place)? {
        Place::Server(server) => server.post(&format!("/{}", action.name()), &given)?,
        Place::Lake(config, lake) => {
            know_product(&config, &lake, &mut query)?;
            let now_ms = Clock::system().now_ms();
            run::runtime()?.block_on(answer::ask(&lake, &config.pipeline, action, &query, &args.who, now_ms))?
        }
    };
    print(args.json, &requested, || text::receipt(action, &requested))
}

fn print<T: Serialize>(json: bool, answer: &T, text: impl FnOnce() -> String) -> Result<(), Error> {
    output::print(&if json { serde_json::to_string(answer).unwrap_or_default() + "\n" } else { text() })
}

fn query(given: &Given) -> Result<Query, Error> {
    Query::parse(given.pairs()).map_err(|reason| Error::Argument { reason })
}

/// Adds the modules that make the product that somebody asks for; they are read only then.
fn know_product(config: &Config, lake: &Warehouse, query: &mut Query) -> Result<(), Error> {
    let Some(product) = &query.filter.product else { return Ok(()) };
    let subjects = Subjects::of(&run::runtime()?.block_on(verify::active_modules(config, lake))?);
    let silver = subjects.silver.iter().filter(|silver| silver.path == *product);
    query.filter.product_modules = silver.map(|silver| silver.module.clone()).collect();
    if query.filter.product_modules.is_empty() && subjects.golds.iter().all(|gold| gold.path != *product) {
        return Err(Error::Argument { reason: format!("there is no product {product}") });
    }
    Ok(())
}
