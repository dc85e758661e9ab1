//! `lakeward dev`: the author's loop. A save becomes a build, the build a module, and the module is run over events and shown.

mod args;
mod error;
mod events;
mod preview;
mod show;
mod watch;

pub use args::DevArgs;
pub use error::Error;

use super::build::Draft;
use super::compare::{self, Tryout};
use super::{ServerArgs, chain, output, release, run};
use crate::clock;
use crate::release::compare::Comparison;
use crate::release::{Trial, compat};
use crate::transform::{Host, Limits, ModuleFile};
use events::{Supplied, Supply};
use preview::Preview;
use std::path::PathBuf;
use std::sync::Arc;
use watch::Look;

/// Watches a module crate until Ctrl-C, or shows one build.
///
/// # Errors
/// When there is no crate or no event, or, with `--once`, whatever is wrong with the build.
pub fn dev(args: &DevArgs) -> Result<(), super::Error> {
    let mut session = Session::open(args)?;
    if args.once {
        return session.round().map_err(Failure::into_error);
    }
    let (ended_in, ended) = tokio::sync::oneshot::channel();
    let working = std::thread::Builder::new()
        .name("dev".to_owned())
        // Nobody listens any more where Ctrl-C has come first.
        .spawn(move || ended_in.send(session.watch()))
        .map_err(|source| super::Error::Runtime { source })?;
    run::runtime()?.block_on(async {
        tokio::select! {
            // Nothing is half done that would have to be finished: the thread ends with the process.
            () = run::signal() => Ok(()),
            result = ended => match result {
                Ok(result) => result,
                Err(_) => Err(working.join().map_or_else(
                    |panic| std::panic::resume_unwind(panic),
                    |_| unreachable!("the thread says how it ended"),
                )),
            },
        }
    })
}

/// What stays the same from one build to the next, and the last build that ran.
struct Session {
    paths: Vec<PathBuf>,
    draft: Draft,
    supply: Supply,
    host: Host,
    /// Keys the `hash` mask: equal values stay equal from build to build.
    secret: Vec<u8>,
    rows: usize,
    server: Option<ServerArgs>,
    last: Option<Build>,
    /// The digest that was deployed last.
    deployed: Option<String>,
}

/// A build that ran over the events.
struct Build {
    file: ModuleFile,
    trial: Trial,
}

/// Why a round ends badly.
enum Failure {
    /// The build cannot be shown.
    Build(Error),
    /// It was shown, but cannot be deployed.
    Deploy(super::Error),
    /// There is nowhere to show it.
    Output(super::Error),
}

impl Failure {
    fn into_error(self) -> super::Error {
        match self {
            Self::Build(error) => error.into(),
            Self::Deploy(error) | Self::Output(error) => error,
        }
    }
}

impl Session {
    fn open(args: &DevArgs) -> Result<Self, super::Error> {
        let supply = Supply::new(args.events.clone(), args.topic.clone())?;
        let server = args.server.clone().map(|server| ServerArgs { server, json: false });
        server.as_ref().map(release::can_order).transpose()?;
        let draft = Draft::open(&args.dir).map_err(Error::from)?;
        let paths = ["src", "Cargo.toml", "build.rs"].map(|name| args.dir.join(name));
        Ok(Self {
            paths: paths.into_iter().chain(args.events.clone()).collect(),
            draft,
            supply,
            host: Host::new(Limits::default(), 1).map_err(|source| Error::Run(source.into()))?,
            secret: [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat(),
            rows: args.rows.into(),
            server,
            last: None,
            deployed: None,
        })
    }

    /// Shows a build after each save, until that makes no sense any more.
    fn watch(&mut self) -> Result<(), super::Error> {
        loop {
            // What is saved while it is built is built next.
            let seen = Look::at(&self.paths);
            match self.round() {
                Ok(()) => {}
                Err(Failure::Build(error)) if error.is_mendable(self.last.is_some()) => output::say(chain(&error)),
                Err(Failure::Deploy(error)) => output::say(chain(&error)),
                Err(failure) => return Err(failure.into_error()),
            }
            output::say("\nwaiting for the next save; Ctrl-C ends\n");
            let changed = watch::wait(&self.paths, &seen);
            let names: Vec<String> = changed.iter().map(|path| path.display().to_string()).collect();
            output::say(format_args!("\n{} changed\n", names.join(", ")));
        }
    }

    /// Builds, runs, shows and deploys what is there now.
    fn round(&mut self) -> Result<(), Failure> {
        let (build, text) = self.build().map_err(Failure::Build)?;
        output::print(text).map_err(Failure::Output)?;
        let file = build.file.clone();
        self.last = Some(build);
        match &self.server {
            Some(server) if self.deployed.as_ref() != Some(&file.digest) => {
                let digest = file.digest.clone();
                release::deploy_module(file, Some("lakeward dev"), server).map_err(Failure::Deploy)?;
                self.deployed = Some(digest);
            }
            _ => {}
        }
        Ok(())
    }

    /// Builds and runs the module; says what it makes.
    fn build(&self) -> Result<(Build, String), Error> {
        let started = clock::instant();
        let file = self.draft.build()?;
        let built = started.elapsed();
        let trial = Trial::load(&self.host, &file, Some(&self.secret)).map_err(compare::Error::from)?;
        let supplied = self.supply.events(&file.manifest)?;
        let (shown, difference) = self.run(&file, &trial, &supplied)?;
        let ran = started.elapsed().saturating_sub(built);
        let Supplied { what, without, .. } = &supplied;
        let without: String = without.iter().map(|topic| format!("there are no events of topic {topic}\n")).collect();
        let text = format!(
            "\n{} {}, built in {:.1} s, run over {what} in {:.1} s\n{without}{shown}\n{difference}",
            file.manifest.name,
            file.manifest.version,
            built.as_secs_f64(),
            ran.as_secs_f64()
        );
        Ok((Build { file, trial }, text))
    }

    /// What the module makes of the events, and how that differs from what the build before made.
    fn run(&self, file: &ModuleFile, trial: &Trial, supplied: &Supplied) -> Result<(String, String), Error> {
        let before = self.last.as_ref().filter(|last| last.file.digest != file.digest);
        let compared = before.map(|last| (last, Comparison::new(&last.file.manifest, &file.manifest)));
        let old = match &compared {
            Some((last, Ok(_))) => Some(&last.trial),
            _ => None,
        };
        let topics = [Arc::clone(&supplied.topic)];
        let mut tryout = Tryout::new(old, trial, &topics)?;
        let mut preview = Preview::new(trial, self.rows)?;
        let mut compared = compared;
        for chunk in &supplied.chunks {
            let Some(tried) = tryout.chunk(chunk) else { continue };
            preview.chunk(chunk, &tried.of_new());
            if let Some((_, Ok(comparison))) = &mut compared {
                comparison.chunk(chunk, &tried.of_old(), &tried.of_new());
            }
        }
        let difference = match (&self.last, compared) {
            (None, _) => String::new(),
            (Some(_), None) => "the module is the same as before, to the byte\n".to_owned(),
            (_, Some((last, Ok(comparison)))) => {
                show::against(&compat::compare(&last.file.manifest, &file.manifest), &comparison.report())
            }
            (_, Some((_, Err(reason)))) => format!("not compared with the build before: {reason}\n"),
        };
        Ok((show::preview(&mut preview), difference))
    }
}
