//! `lakeward offsets`: where the tables of a pipeline stand in their topics, and moving them on purpose.

mod lake;
mod moving;
mod plan;
mod show;
mod torn;

use super::{Error, MoveArgs, OffsetsArgs, OffsetsCommand, output, run, verify};
use crate::audit::Subjects;
use crate::config::Config;

/// Shows or moves offsets.
///
/// # Errors
/// When the configuration is wrong, the lake or the broker cannot be asked, or the move is refused.
pub fn offsets(args: &OffsetsArgs) -> Result<(), Error> {
    match &args.command {
        None => {
            let path = args.config.as_deref().ok_or(Error::NoConfig)?;
            show(path, args.json)
        }
        Some(OffsetsCommand::Move(args)) => move_offsets(args),
    }
}

fn show(path: &std::path::Path, json: bool) -> Result<(), Error> {
    let config = Config::load(path)?;
    let lake = verify::open_lake(&config)?;
    let runtime = run::runtime()?;
    let subjects = Subjects::of(&runtime.block_on(verify::active_modules(&config, &lake))?);
    let show::Shown { rows, notes } = runtime.block_on(show::read(&config, &lake, &subjects))?;
    output::print(if json { show::json(&rows) } else { show::text(&rows) })?;
    notes.iter().for_each(|note| output::say(format_args!("{note}\n")));
    Ok(())
}

fn move_offsets(args: &MoveArgs) -> Result<(), Error> {
    let config = Config::load(&args.config)?;
    let lake = verify::open_lake(&config)?;
    let runtime = run::runtime()?;
    let subjects = Subjects::of(&runtime.block_on(verify::active_modules(&config, &lake))?);
    let wanted = plan::Wanted::of(args, &subjects)?;
    let moved = runtime.block_on(moving::run(&config, &lake, &subjects, &wanted))?;
    output::print(moved)
}
