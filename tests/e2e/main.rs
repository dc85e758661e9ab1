//! The end-to-end cases: a real broker, the real binary, tables read back by engines that are not ours.
//!
//! `cargo test --test e2e` runs all of them, `cargo test --test e2e dirty` those whose name has that word. What a case needs and
//! the machine lacks makes it *ignored*, with what to install; where `CI` is set, it fails.

mod audit;
mod bad_config;
mod bronze;
mod candidates;
mod case;
mod catch_up;
mod commands;
mod dead_letters;
mod dev;
mod dirty;
mod evil;
mod exact;
mod files;
mod harness;
mod inquiries;
mod instances;
mod kept;
mod kill;
mod live;
mod logistics;
mod online_retail;
mod operators;
mod parking;
mod partitions;
mod rebuilds;
mod recreated;
mod releases;
mod rewinds;
mod s3;
mod torn;
mod torture;
mod versions;

use lakeward_tests::stage::Shared;
use libtest_mimic::Arguments;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let shared = Arc::new(Shared::new(env!("CARGO_BIN_EXE_lakeward")));
    let themes = [
        harness::cases(),
        online_retail::cases(),
        live::cases(),
        kept::cases(),
        kill::cases(),
        instances::cases(),
        dirty::cases(),
        files::cases(),
        logistics::cases(),
        evil::cases(),
        bad_config::cases(),
        partitions::cases(),
        s3::cases(),
        torture::cases(),
        releases::cases(),
        operators::cases(),
        torn::cases(),
        rewinds::cases(),
        rebuilds::cases(),
        versions::cases(),
        bronze::cases(),
        catch_up::cases(),
        parking::cases(),
        audit::cases(),
        dead_letters::cases(),
        inquiries::cases(),
        dev::cases(),
        recreated::cases(),
        commands::cases(),
        candidates::cases(),
    ];
    let trials = themes.into_iter().flatten().map(|case| case.trial(&shared)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    // The broker ends with the last use of what is shared.
    drop(shared);
    conclusion.exit_code()
}
