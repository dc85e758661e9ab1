//! Orders of operators, and whether the log of deployments holds each as often as its giver was told; by rules written here once more.

use anyhow::{Context, Result};
use lakeward_tests::command;
use serde::Deserialize;
use serde_json::Value;
use std::process::{Child, Command, Stdio};

/// The module that orders are about.
pub(crate) const MODULE: &str = "retail";

/// Another owner's over the same topic, which does the same and is to go on whatever befalls the first.
pub(crate) const OTHER: &str = "wholesale";

/// The modules of every round.
pub(crate) const MODULES: [&str; 2] = [MODULE, OTHER];

/// Whoever gives orders, with the token.
pub(crate) const OPERATORS: [(&str, &str); 2] = [("ann", "ann-has-a-long-token"), ("bob", "bob-has-a-long-token")];

/// Who deploys what only the configuration names.
const CONFIGURATION: &str = "configuration";

/// How the loser of two operators is told.
const FIRST: &str = "was first";

/// A row of the log of deployments.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Decision {
    module: String,
    sequence: i64,
    action: String,
    digest: Option<String>,
    who: String,
    why: Option<String>,
}

/// What the log adds up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The digests that rollbacks lead back through; the last one is active.
    digests: Vec<String>,
    pub(crate) is_paused: bool,
    pub(crate) shadow: Option<String>,
}

impl Standing {
    /// Where the module stands after these decisions.
    pub(crate) fn of(log: &[Decision]) -> Self {
        let mut standing = Self::default();
        for decision in log.iter().filter(|decision| decision.module == MODULE) {
            match decision.action.as_str() {
                "deploy" | "promote" => standing.digests.extend(decision.digest.clone()),
                "rollback" => standing.roll_back(),
                // In the code it leads back only where that was asked for, to the digest before.
                "rewind" if decision.digest.is_some() => standing.roll_back(),
                "shadow" => standing.shadow.clone_from(&decision.digest),
                "pause" => standing.is_paused = true,
                "resume" => standing.is_paused = false,
                _ => {}
            }
            if matches!(decision.action.as_str(), "deploy" | "promote" | "end_shadow") {
                standing.shadow = None;
            }
        }
        standing
    }

    fn roll_back(&mut self) {
        self.digests.truncate(self.digests.len().saturating_sub(1));
        self.shadow = None;
    }

    pub(crate) fn active(&self) -> &str {
        self.digests.last().map_or("", String::as_str)
    }

    /// The digest that a rollback makes active.
    pub(crate) fn previous(&self) -> Option<&str> {
        self.digests.iter().rev().nth(1).map(String::as_str)
    }
}

/// How an order ended for who gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was taken, under this number, and the digest is active with it.
    Taken(i64, String),
    /// It came to a report, with or without a decision.
    Reported(Value),
    /// Somebody else was first.
    Overtaken,
    /// It failed, and whether it is in the log nobody was told.
    Failed(String),
}

impl Outcome {
    fn of(is_success: bool, stdout: &str, stderr: &str) -> Self {
        let said = serde_json::from_str::<Value>(stdout).unwrap_or_default();
        match (said["sequence"].as_i64(), said["digest"].as_str()) {
            _ if !is_success && stderr.contains(FIRST) => Self::Overtaken,
            _ if !is_success => Self::Failed(command::tail(stderr, 3)),
            (Some(sequence), Some(digest)) => Self::Taken(sequence, digest.to_owned()),
            _ => Self::Reported(said),
        }
    }
}

/// An order that was given; its reason names it in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) why: String,
    pub(crate) outcome: Outcome,
}

/// An order under way.
#[derive(Debug)]
pub(crate) struct Asked {
    child: Child,
    why: String,
}

impl Asked {
    /// Calls `command`, which gives the order that `why` names.
    pub(crate) fn new(mut command: Command, why: String) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Self { child: command.spawn().context("calling lakeward")?, why })
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits for its end: an order that is not answered gives up by itself.
    pub(crate) fn order(self) -> Result<Order> {
        let output = self.child.wait_with_output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let outcome = Outcome::of(output.status.success(), &text(&output.stdout), &text(&output.stderr));
        Ok(Order { why: self.why, outcome })
    }
}

/// Whether the order is in the log.
pub(crate) fn holds(log: &[Decision], why: &str) -> bool {
    log.iter().any(|decision| decision.why.as_deref() == Some(why))
}

/// What is wrong with the log, when these orders were given.
pub(crate) fn judge(log: &[Decision], orders: &[Order]) -> Vec<String> {
    let mut wrong = Vec::new();
    for module in MODULES {
        wrong.extend(judge_module(log.iter().filter(|decision| decision.module == module), orders));
    }
    wrong.extend(
        log.iter().filter(|of| !MODULES.contains(&of.module.as_str())).map(|of| format!("nobody knows {of:?}")),
    );
    for Order { why, outcome } in orders {
        let found: Vec<&Decision> = log.iter().filter(|decision| decision.why.as_ref() == Some(why)).collect();
        let is_right = match outcome {
            Outcome::Taken(sequence, _) => matches!(found[..], [decision] if decision.sequence == *sequence),
            Outcome::Overtaken => found.is_empty(),
            Outcome::Reported(_) | Outcome::Failed(_) => found.len() <= 1,
        };
        if !is_right {
            wrong.push(format!("order {why} ended with {outcome:?}, the log has {found:?} of it"));
        }
    }
    wrong
}

/// What is wrong with the log of one module: it begins with what the configuration names, and all else was ordered.
fn judge_module<'a>(log: impl Iterator<Item = &'a Decision>, orders: &[Order]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (expected, decision) in (1..).zip(log) {
        if decision.sequence != expected {
            wrong.push(format!("the log of deployments has number {} where {expected} follows", decision.sequence));
        }
        let is_ordered = orders.iter().any(|order| decision.why.as_ref() == Some(&order.why));
        let is_first = expected == 1 && decision.who == CONFIGURATION && decision.action == "deploy";
        if is_ordered == is_first {
            wrong.push(format!("nobody ordered {decision:?}"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(sequence: i64, action: &str, digest: &str, why: &str) -> Decision {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let who = if why.is_empty() { CONFIGURATION } else { "ann" };
        let module = MODULE.to_owned();
        Decision {
            module,
            sequence,
            action: action.to_owned(),
            digest: text(digest),
            who: who.to_owned(),
            why: text(why),
        }
    }

    fn taken(sequence: i64) -> Outcome {
        Outcome::Taken(sequence, "b".to_owned())
    }

    /// Whether a log of a first deployment and these is right, where one order, `x`, ended so.
    #[track_caller]
    fn check(rows: &[(i64, &str)], outcome: Outcome, is_right: bool) {
        let mut log = vec![decision(1, "deploy", "a", "")];
        log.extend(rows.iter().map(|(sequence, why)| decision(*sequence, "deploy", "b", why)));
        let wrong = judge(&log, &[Order { why: "x".to_owned(), outcome }]);
        assert_eq!(wrong.is_empty(), is_right, "{rows:?}: {wrong:?}");
    }

    #[test]
    fn an_order_is_in_the_log_as_often_as_its_giver_was_told() {
        check(&[(2, "x")], taken(2), true);
        check(&[], taken(2), false);
        check(&[(2, "x")], taken(3), false);
        check(&[(2, "x"), (3, "x")], taken(2), false);
        check(&[(3, "x")], taken(3), false);
        check(&[(2, "x"), (3, "y")], taken(2), false);
        check(&[(2, "x"), (2, "x")], Outcome::Failed(String::new()), false);
        check(&[(2, "x")], Outcome::Failed(String::new()), true);
        check(&[], Outcome::Failed(String::new()), true);
        check(&[], Outcome::Overtaken, true);
        check(&[(2, "x")], Outcome::Overtaken, false);
    }

    #[test]
    fn an_outcome_is_what_the_command_says() {
        let of = |is_success, stdout: &str, stderr: &str| Outcome::of(is_success, stdout, stderr);
        assert_eq!(of(true, r#"{"module":"retail","sequence":2,"digest":"b"}"#, ""), taken(2));
        assert_eq!(of(false, "", "the pipeline refuses: ann was first: deploy"), Outcome::Overtaken);
        assert_eq!(of(false, "", "no pipeline answers"), Outcome::Failed("no pipeline answers".to_owned()));
        assert!(matches!(of(true, r#"{"records":7}"#, ""), Outcome::Reported(report) if report["records"] == 7));
    }

    #[test]
    fn the_log_adds_up_to_where_the_module_stands() {
        let actions =
            [("deploy", "a"), ("deploy", "b"), ("shadow", "c"), ("promote", "c"), ("rollback", "b"), ("pause", "")];
        let log: Vec<_> = (1..).zip(actions).map(|(at, (action, digest))| decision(at, action, digest, "x")).collect();
        let shadow = Standing::of(&log[..3]);
        assert_eq!((shadow.active(), shadow.previous(), shadow.shadow.as_deref()), ("b", Some("a"), Some("c")));
        let end = Standing::of(&log);
        assert_eq!((end.active(), end.previous(), end.shadow.as_deref(), end.is_paused), ("b", Some("a"), None, true));
        let after = |digest| Standing::of(&[&log[..4], &[decision(5, "rewind", digest, "x")]].concat());
        assert_eq!((after("").active(), after("b").active()), ("c", "b"));
        let other = Decision { module: OTHER.to_owned(), ..decision(5, "deploy", "d", "x") };
        assert_eq!(Standing::of(&[&log[..], &[other]].concat()).active(), "b");
    }
}
