//! The shape of the code, as a test: what ARCHITECTURE and STYLE say in words is checked here, rule by rule.
//!
//! A rule is a function from a file to what is wrong with it, so each first proves on a planted example that it can fail.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file of the workspace: its path from the top, with `/`, and its text.
#[derive(Debug, Clone)]
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn planted(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    fn is_rust(&self) -> bool {
        // The misuse cases are what a compiler is to complain about, line by line; they are no code of ours.
        self.path.ends_with(".rs") && !self.path.starts_with("sdk/tests/misuse/")
    }

    /// The lines before the unit tests.
    fn code(&self) -> impl Iterator<Item = &str> {
        self.text.lines().take_while(|line| line.trim() != "#[cfg(test)]")
    }
}

type Rule = fn(&Source) -> Vec<String>;

/// Whatever the rule finds in the workspace, after it has found something in `planted`.
#[track_caller]
fn hold(rule: Rule, planted: &[Source]) {
    for source in planted {
        assert!(!rule(source).is_empty(), "the rule overlooks {source:?}");
    }
    let sources = sources();
    assert!(sources.len() > 50, "only {} files were found: the walk is broken", sources.len());
    let found: Vec<_> = sources
        .iter()
        .flat_map(|source| rule(source).into_iter().map(|fault| format!("{}: {fault}", source.path)))
        .collect();
    assert!(found.is_empty(), "\n  {}\n", found.join("\n  "));
}

#[test]
fn every_file_says_what_it_is_for() {
    fn rule(source: &Source) -> Vec<String> {
        let says = source.text.starts_with("//! ");
        if source.is_rust() && !says { vec!["does not open with a line of `//!`".to_owned()] } else { Vec::new() }
    }
    hold(rule, &[Source::planted("runtime/src/a.rs", "use std::fs;\n"), Source::planted("a.rs", "//!\nfn a() {}\n")]);
}

#[test]
fn no_file_is_too_long() {
    const LINES: usize = 450;
    fn rule(source: &Source) -> Vec<String> {
        let lines = source.code().count();
        if source.is_rust() && lines > LINES { vec![format!("has {lines} lines before its tests")] } else { Vec::new() }
    }
    hold(rule, &[Source::planted("a.rs", &"x\n".repeat(LINES + 1))]);
    assert!(
        rule(&Source::planted("a.rs", &format!("{}#[cfg(test)]\n{}", "x\n".repeat(9), "x\n".repeat(900)))).is_empty()
    );
}

#[test]
fn stages_know_the_vocabulary_and_not_each_other() {
    const STAGES: [&str; 7] = ["source", "decode", "transform", "product", "sink", "aggregate", "serve"];
    const VOCABULARY: [&str; 7] = ["record", "checkpoint", "clock", "columns", "telemetry", "config", "fault"];
    fn rule(source: &Source) -> Vec<String> {
        let Some(inside) = source.path.strip_prefix("runtime/src/") else { return Vec::new() };
        let stage = inside.split(['/', '.']).next().unwrap_or_default();
        if !STAGES.contains(&stage) {
            return Vec::new();
        }
        let may = |name: &str| name == stage || VOCABULARY.contains(&name) || (stage == "serve" && name == "aggregate");
        let code: String = source.text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        roots(&code).into_iter().filter(|name| !may(name)).map(|name| format!("stage {stage} knows `{name}`")).collect()
    }
    hold(
        rule,
        &[
            Source::planted("runtime/src/decode/mod.rs", "use crate::sink::Table;"),
            Source::planted("runtime/src/decode.rs", "use crate::{record::Chunk, pipeline::Plan};"),
            Source::planted("runtime/src/decode.rs", "use crate::{\n    record::{Chunk, Record},\n    sink,\n};"),
            Source::planted("runtime/src/sink/table.rs", "    crate::aggregate::View::new()"),
        ],
    );
    assert!(rule(&Source::planted("runtime/src/serve/a.rs", "use crate::aggregate::View; // crate::sink")).is_empty());
    assert!(rule(&Source::planted("runtime/src/pipeline/a.rs", "use crate::sink::Table;")).is_empty());
}

#[test]
fn the_audit_stands_apart() {
    // Its verdict must not rest on the code that it judges: it reads tables, topics and manifests, and computes the rest anew.
    const JUDGED: [&str; 5] = ["decode", "product", "aggregate", "pipeline", "serve"];
    fn rule(source: &Source) -> Vec<String> {
        let Some(inside) = source.path.strip_prefix("runtime/src/") else { return Vec::new() };
        let folder = inside.split(['/', '.']).next().unwrap_or_default();
        let code: String = source.text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        let named = roots(&code).into_iter();
        match folder {
            "audit" => {
                named.filter(|name| JUDGED.contains(name)).map(|name| format!("the audit knows `{name}`")).collect()
            }
            "cli" => Vec::new(),
            _ => named.filter(|name| *name == "audit").map(|_| format!("{folder} knows the audit")).collect(),
        }
    }
    hold(
        rule,
        &[
            Source::planted("runtime/src/audit/mod.rs", "use crate::aggregate::View;"),
            Source::planted("runtime/src/pipeline/run.rs", "use crate::{audit::Audit, clock};"),
        ],
    );
}

#[test]
fn releases_know_what_a_module_makes_and_nothing_of_where_it_goes() {
    const KNOWN: [&str; 8] = ["release", "transform", "product", "decode", "aggregate", "record", "columns", "clock"];
    // The log of deployments stands in the lake; the rest is a function of its arguments.
    const OF_THE_LAKE: [&str; 2] = ["release/deployments.rs", "release/modules.rs"];
    fn rule(source: &Source) -> Vec<String> {
        let Some(inside) = source.path.strip_prefix("runtime/src/") else { return Vec::new() };
        let folder = inside.split(['/', '.']).next().unwrap_or_default();
        let code: String = source.text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        let named = roots(&code).into_iter();
        match folder {
            "release" if OF_THE_LAKE.contains(&inside) => Vec::new(),
            "release" => named
                .filter(|name| !KNOWN.contains(name))
                .map(|name| format!("what compares releases knows `{name}`"))
                .collect(),
            "pipeline" | "cli" => Vec::new(),
            _ => named.filter(|name| *name == "release").map(|_| format!("{folder} knows releases")).collect(),
        }
    }
    hold(
        rule,
        &[
            Source::planted("runtime/src/release/compat.rs", "use crate::sink::Table;"),
            Source::planted("runtime/src/release/compare/mod.rs", "use crate::{clock, pipeline::Plan};"),
            Source::planted("runtime/src/serve/mod.rs", "use crate::release::Compatibility;"),
        ],
    );
}

/// The top modules of the crate that code without comments names: `crate::a::B` and `crate::{a, b::C}`.
fn roots(code: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(group) => {
                let mut depth = 0;
                let outer = group.split_inclusive(['{', '}', ',']).filter(|part| {
                    let outside = depth == 0;
                    depth += i32::from(part.ends_with('{')) - i32::from(part.ends_with('}'));
                    outside
                });
                names.extend(outer.map(identifier));
            }
            None => names.push(identifier(after)),
        }
    }
    // A capital letter or a macro is an item of the crate's top, of which there is none; `crate::` in a text ends in nothing.
    names.retain(|name| name.starts_with(|first: char| first.is_ascii_lowercase()));
    names
}

fn identifier(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    &text[..end.unwrap_or(text.len())]
}

#[test]
fn the_sdk_and_the_runtime_do_not_depend_on_each_other() {
    fn rule(source: &Source) -> Vec<String> {
        let foreign: &[&str] = match source.path.as_str() {
            "runtime/Cargo.toml" => &["lakeward-sdk", "lakeward-macros"],
            "sdk/Cargo.toml" | "sdk/macros/Cargo.toml" | "sdk/manifest/Cargo.toml" => &["lakeward-runtime"],
            path if path.starts_with("transforms/") && path.ends_with("Cargo.toml") => &["lakeward-runtime"],
            _ => &[],
        };
        let names = |name: &&&str| source.text.lines().any(|line| line.trim_start().starts_with(**name));
        foreign.iter().filter(names).map(|name| format!("depends on {name}")).collect()
    }
    hold(
        rule,
        &[
            Source::planted("runtime/Cargo.toml", "[dev-dependencies]\nlakeward-sdk.workspace = true\n"),
            Source::planted("sdk/Cargo.toml", "[dependencies]\nlakeward-runtime = { path = \"../runtime\" }\n"),
            Source::planted("transforms/retail/Cargo.toml", "lakeward-runtime.workspace = true\n"),
        ],
    );
}

#[test]
fn exceptions_from_lints_are_expected_with_a_reason() {
    // Generated code stands in crates of others, where the lint may or may not fire: there only an allowance fits.
    const GENERATED: &str = "sdk/macros/";
    fn rule(source: &Source) -> Vec<String> {
        let allowance = |line: &&str| line.contains(concat!("#[", "allow(")) || line.contains(concat!("#![", "allow("));
        if !source.is_rust() || source.path.starts_with(GENERATED) {
            return Vec::new();
        }
        source
            .text
            .lines()
            .filter(allowance)
            .map(|line| format!("write #[expect(.., reason = \"..\")]: {line}"))
            .collect()
    }
    hold(rule, &[Source::planted("a.rs", concat!("#[", "allow(dead_code)]\nfn a() {}"))]);
}

#[test]
fn nothing_tells_of_the_machine_it_was_written_on() {
    // In two parts, so that this file does not break its own rule.
    const WORDS: [&str; 5] = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("crates", ".io"),
        concat!("local", "host:8888"),
    ];
    fn rule(source: &Source) -> Vec<String> {
        // The lock file names the registry of every crate; cargo writes it.
        let words = WORDS.iter().filter(|word| source.path != "Cargo.lock" && source.text.contains(**word));
        words.map(|word| format!("has the word {word}")).collect()
    }
    hold(rule, &WORDS.map(|word| Source::planted("a.md", &format!("see {word}x"))));
}

#[test]
fn the_top_folder_holds_what_it_should() {
    const ENTRIES: [&str; 11] = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "clippy.toml",
        "deny.toml",
        "examples",
        "runtime",
        "rustfmt.toml",
        "sdk",
        "tests",
    ];
    const MORE: [&str; 2] = ["transforms", "rust-toolchain.toml"];
    /// Made by a build or a demo, and ignored by git.
    const MADE: [&str; 2] = ["target", "lake"];
    let stray = |names: &[String]| -> Vec<String> {
        let known = |name: &str| ENTRIES.contains(&name) || MORE.contains(&name) || MADE.contains(&name);
        names.iter().filter(|name| !name.starts_with('.') && !known(name)).cloned().collect()
    };
    assert_eq!(stray(&["runtime".to_owned(), "notes.txt".to_owned()]), ["notes.txt"]);
    let entries = fs::read_dir(top()).unwrap();
    let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name == "runtime"), "not the top folder: {names:?}");
    assert_eq!(stray(&names), Vec::<String>::new());
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package stands in a folder of the workspace").to_owned()
}

/// Every text file of the workspace that a person wrote.
fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    walk(&top(), "", &mut sources).expect("the workspace can be read");
    sources
}

fn walk(folder: &Path, prefix: &str, sources: &mut Vec<Source>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().display().to_string();
        let path = format!("{prefix}{name}");
        // Git's own is a folder, or in a second work tree a file.
        if matches!(name.as_str(), ".git" | "target" | "lake") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{path}/"), sources)?;
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            // A file that is not text (a picture, a module) has no words to judge.
            sources.push(Source { path, text });
        }
    }
    Ok(())
}
