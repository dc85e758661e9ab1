//! What the command line takes, and how failures are told.

use super::*;
use clap::CommandFactory as _;

#[test]
fn the_definitions_hold_together() {
    Cli::command().debug_assert();
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let Command::Demo(demo) = Cli::try_parse_from(["lakeward", "demo"]).unwrap().command else { panic!("not a demo") };
    assert_eq!((demo.seconds, demo.rate), (None, 2_000));
    assert_eq!(demo.lake, Path::new("./lake"));
    assert_eq!(demo.listen.to_string(), "127.0.0.1:8080");
    let Command::Build(build) = Cli::try_parse_from(["lakeward", "build"]).unwrap().command else {
        panic!("not a build")
    };
    assert_eq!((build.dir.as_path(), build.out), (Path::new("."), None));
}

#[test]
fn every_subcommand_explains_itself() {
    for command in Cli::command().get_subcommands() {
        assert!(command.get_about().is_some(), "{} has no help", command.get_name());
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{} {} has no help", command.get_name(), argument.get_id());
        }
    }
}

#[test]
fn causes_are_told_one_a_line() {
    let error = crate::transform::ModuleFile::read(Path::new("Cargo.toml")).unwrap_err();
    assert_eq!(
        chain(&error),
        "error: Cargo.toml is not a module that can be run\n  caused by: it is not WebAssembly at all\n"
    );
}

#[test]
fn wrong_usage_and_failure_have_different_exit_codes() {
    let no_crate = build::Error::NoCrate { dir: "nowhere".into() };
    assert_eq!(Error::from(no_crate).exit_code(), 64);
    let unreadable = crate::transform::ModuleFile::read(Path::new("no/such.wasm")).unwrap_err();
    assert_eq!(Error::from(unreadable).exit_code(), 64);
    assert_eq!(Error::Refuted { failed: 1 }.exit_code(), 1);
}
