//! The author's loop: what a save changes is seen, a mistake is shown and mended, and what is wrong with the call ends it.

use crate::case::Case;
use anyhow::{Context, Result, ensure};
use lakeward_tests::process::Leashed;
use lakeward_tests::product::Product;
use lakeward_tests::stage::Stage;
use lakeward_tests::wait;
use rustix::process::Signal;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// How long a build may take on a busy machine that has nothing compiled yet.
const LIMIT: Duration = Duration::from_secs(300);

const TOKEN: &str = "ann-has-a-long-token";

/// Two sales, one that comes back, and three that are none.
const EVENTS: &str = r#"{"seq":0,"InvoiceNo":"1","StockCode":"A","Description":"LANTERN","Quantity":6,"InvoiceDate":"2010-12-01 08:26:00","UnitPrice":3.39,"CustomerID":"17850.0","Country":"France"}
{"seq":1,"InvoiceNo":"C2","StockCode":"A","Description":"LANTERN","Quantity":-1,"InvoiceDate":"2010-12-01 08:27:00","UnitPrice":3.39,"CustomerID":null,"Country":"France"}
{"seq":2,"InvoiceNo":"3","StockCode":"B","Description":null,"Quantity":1,"InvoiceDate":"2010-12-01 08:28:00","UnitPrice":1,"CustomerID":null,"Country":"Spain"}
{"seq":3,"InvoiceNo":"4","StockCode":"B","Description":"PLASTERS","Quantity":1,"InvoiceDate":"2010-12-01 08:29:00","UnitPrice":0,"CustomerID":null,"Country":"Spain"}
{"seq":4,"InvoiceNo":"5","StockCode":"B","Description":"PLASTERS","Quantity":"many","InvoiceDate":"2010-12-01 08:30:00","UnitPrice":1,"CustomerID":null,"Country":"Spain"}
{"seq":5,"InvoiceNo":"6","StockCode":"B","Description":"PLASTERS","Quantity":2,"InvoiceDate":"2010-12-01 08:31:00","UnitPrice":1.65,"CustomerID":null,"Country":"Spain"}
"#;

/// `sale` is written louder.
const LOUD: (&str, &str) = ("{ \"sale\" }", "{ \"SALE\" }");

/// What comes back is rejected.
const NO_RETURNS: (&str, &str) = (
    "    let description = ",
    "    if line.quantity < 0 {\n        return Err(Reject::new(\"what comes back is no sale\"));\n    }\n    let description = ",
);

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("dev::a_save_changes_rows_rejects_and_difference", &[], saved),
        Case::new("dev::a_mistake_is_shown_and_mended", &[], mended),
        Case::new("dev::what_is_wrong_with_the_call_ends_it", &[], refused),
        Case::embedded("dev::a_build_is_deployed", &[], deployed),
    ]
}

/// A running `lakeward dev`, and the crate that it watches.
struct Author {
    /// The crate's name, one for each case: cargo takes two crates of one name in one target folder for the same.
    name: &'static str,
    folder: PathBuf,
    dev: Leashed,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Author {
    fn start(stage: &Stage, name: &'static str) -> Result<Self> {
        let folder = stage.folder().join("crate");
        Product::retail_copy(&folder, name, &[])?;
        let events = stage.folder().join("events.ndjson");
        fs::write(&events, EVENTS)?;
        let product = stage.product()?;
        let (stdout, stderr) = (stage.folder().join("dev.stdout.log"), stage.folder().join("dev.stderr.log"));
        let mut command = product.command();
        command.arg("dev").arg(&folder).arg("--events").arg(&events);
        command.env("CARGO_TARGET_DIR", product.variants_target());
        command.stdin(Stdio::null()).stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
        Ok(Self { name, folder, dev: Leashed::spawn(&mut command)?, stdout, stderr })
    }

    /// Saves the module with some of its source replaced.
    fn save(&self, replaced: &[(&str, &str)]) -> Result<()> {
        Product::retail_copy(&self.folder, self.name, replaced)
    }

    /// Waits for words behind the first `seen` bytes of what was printed; gives all that is there.
    fn wait(&mut self, path: &Path, seen: usize, words: &str) -> Result<String> {
        wait::until(LIMIT, words, || {
            let text = fs::read_to_string(path)?;
            if let Some(status) = self.dev.ended()? {
                anyhow::bail!("it ended with {status}: {text}\n{}", fs::read_to_string(&self.stderr)?);
            }
            Ok(text.get(seen..).is_some_and(|new| new.contains(words)).then_some(text))
        })
    }

    /// Waits for the next build to be shown; gives what was printed since `seen`, and how much there is now.
    fn shown(&mut self, seen: usize, last_words: &str) -> Result<(String, usize)> {
        let text = self.wait(&self.stdout.clone(), seen, last_words)?;
        Ok((text[seen..].to_owned(), text.len()))
    }
}

fn says(text: &str, words: &[&str]) -> Result<()> {
    // Columns are as wide as their widest cell: what stands in them is looked for without counting spaces.
    let lines: Vec<String> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for word in words {
        ensure!(lines.iter().any(|line| line.contains(word)), "no `{word}` in:\n{text}");
    }
    Ok(())
}

fn saved(stage: &Stage) -> Result<()> {
    let mut author = Author::start(stage, "saved")?;
    let (first, seen) = author.shown(0, "\nrejects\n")?;
    says(
        &first,
        &[
            "saved 0.2.0, built in",
            "run over the 6 events of",
            "6 records: 3 with rows, 0 skips, 3 rejects",
            "retail/sales 3 rows",
            "offset seq invoice kind stock_code description quantity unit_price line_total customer_id country sold_at",
            "0 0 1 sale A LANTERN 6 3.390 20.340 17850 France 2010-12-01T08:26:00Z",
            "1 1 C2 cancellation A LANTERN -1 3.390 -3.390 null France 2010-12-01T08:27:00Z",
            "5 5 6 sale B PLASTERS 2 1.650 3.300 null Spain 2010-12-01T08:31:00Z",
            "retail/sales_by_country 2 groups",
            "France 2010-12-01T08:00:00Z 2010-12-01T09:00:00Z 2 16.950 1",
            "retail/top_products 2 groups",
            "2 1 transform no description {\"seq\":2,\"InvoiceNo\":\"3\"",
            "3 1 transform unit price 0.000 is not positive {\"seq\":3",
            "4 1 decode field \"Quantity\": expected an integer, found \"many\" {\"seq\":4",
        ],
    )?;
    ensure!(!first.contains("the build before"), "there was none: {first}");

    author.save(&[LOUD, NO_RETURNS])?;
    let (second, seen) = author.shown(seen, "\ncost an event")?;
    says(
        &second,
        &[
            "6 records: 2 with rows, 0 skips, 4 rejects",
            "0 0 1 SALE A LANTERN 6 3.390 20.340 17850 France 2010-12-01T08:26:00Z",
            "1 1 transform what comes back is no sale {\"seq\":1",
            "France 2010-12-01T08:00:00Z 2010-12-01T09:00:00Z 1 20.340 1",
            "against the build before",
            "dead letters: 1 gained, 0 lost, 3 of both",
            "retail/sales: 0 same, 2 changed, 1 only old, 0 only new",
            "kind: 2 values differ",
            "orders/0@0 `sale` -> `SALE`",
        ],
    )?;

    // The difference is to the build before, not to the first one.
    author.save(&[LOUD])?;
    let (third, seen) = author.shown(seen, "\ncost an event")?;
    says(
        &third,
        &["dead letters: 0 gained, 1 lost, 3 of both", "retail/sales: 2 same, 0 changed, 0 only old, 1 only new"],
    )?;

    // Another event counts as a save: the module is the same and the rows are not.
    let events = stage.folder().join("events.ndjson");
    fs::write(&events, EVENTS.lines().next().context("an event")?)?;
    let (fourth, _) = author.shown(seen, "to the byte\n")?;
    says(&fourth, &["run over the 1 events of", "1 records: 1 with rows, 0 skips, 0 rejects"])?;

    author.dev.signal(Signal::INT)?;
    let ended = author.dev.wait(LIMIT)?;
    ensure!(ended.code() == Some(0), "Ctrl-C ended it with {ended}");
    ensure!(
        fs::read_dir(&author.folder)?.flatten().all(|entry| entry.path().extension().is_none_or(|kind| kind != "wasm"))
    );
    Ok(())
}

fn mended(stage: &Stage) -> Result<()> {
    let mut author = Author::start(stage, "mended")?;
    let stderr = author.stderr.clone();
    author.save(&[("unit_price.is_positive()", "unit_price.is_dear()")])?;
    // Whether the first build came before that or not: this one follows.
    let said = author.wait(&stderr, 0, "the crate does not compile")?;
    ensure!(said.contains("no method named `is_dear`") && said.contains("src/lib.rs"), "cargo is not heard: {said}");
    let seen = fs::read_to_string(&author.stdout)?.len();

    // It compiles, and describes a contract that cannot be held.
    author.save(&[("expect = \"value > 0\"", "expect = \"worth > 0\"")])?;
    let said = author.wait(&stderr, said.len(), "worth")?;
    ensure!(fs::read_to_string(&author.stdout)?.len() == seen, "rows of a module that cannot be used were shown");

    author.save(&[LOUD])?;
    let (shown, _) = author.shown(seen, "\nrejects\n")?;
    says(&shown, &["6 records: 3 with rows, 0 skips, 3 rejects", "0 0 1 SALE A LANTERN 6"])?;
    ensure!(said.contains("waiting for the next save"), "{said}");
    author.dev.terminate(LIMIT)?;
    Ok(())
}

fn refused(stage: &Stage) -> Result<()> {
    let target = stage.product()?.variants_target();
    stage.set_environment(vec![("CARGO_TARGET_DIR".to_owned(), target.display().to_string())])?;
    let at = |name: &str| stage.folder().join(name).display().to_string();
    let (retail, returns, events) = (at("retail"), at("returns"), at("events.ndjson"));
    Product::retail_copy(Path::new(&retail), "refused", &[])?;
    Product::retail_copy(Path::new(&returns), "returns", &[("topic = \"orders\"", "topic = \"returns\"")])?;
    fs::write(&events, EVENTS)?;
    fs::write(stage.folder().join("empty.ndjson"), "\n")?;
    let calls: [(&[&str], &str); 8] = [
        (&["dev", &at("nowhere")], "there is no module crate at"),
        (&["dev", &retail, "--events", &at("no.ndjson")], "no file matches"),
        (&["dev", &retail, "--events", &at("no/events.ndjson")], "cannot be read"),
        (&["dev", &retail, "--topic", "orders"], "--events"),
        (&["dev", &retail, "--server", "http://127.0.0.1:1"], "LAKEWARD_TOKEN"),
        // Without --once: it is not to wait for a save that would mend nothing.
        (
            &["dev", &returns],
            "module returns reads topic returns, and events are made up only for topic orders: give --events",
        ),
        (&["dev", &retail, "--events", &events, "--topic", "returns"], "does not read topic returns, it reads orders"),
        (&["dev", &retail, "--events", &at("empty.ndjson")], "there is no event in"),
    ];
    for (arguments, words) in calls {
        let done = stage.call(arguments, None)?;
        ensure!(done.code == Some(64), "{arguments:?} ended with {:?}: {}", done.code, done.stderr);
        ensure!(done.stderr.contains(words) && done.stdout.is_empty(), "{arguments:?}: {}{}", done.stderr, done.stdout);
    }
    // The orders of the demo, the same each time.
    let once = || stage.call(&["dev", &retail, "--once", "--rows", "2"], None);
    let (one, two) = (once()?, once()?);
    ensure!(one.code == Some(0), "ended with {:?}: {}", one.code, one.stderr);
    says(&one.stdout, &["10,000 records:", "retail/top_products"])?;
    let rows = |text: &str| text.lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
    ensure!(rows(&one.stdout) == rows(&two.stdout), "{}\n{}", one.stdout, two.stdout);
    Ok(())
}

fn deployed(stage: &Stage) -> Result<()> {
    stage.broker()?.create_topic("orders", 1)?;
    let target = stage.product()?.variants_target().display().to_string();
    let variables = [("CARGO_TARGET_DIR", target), ("LAKEWARD_TOKEN", TOKEN.to_owned())];
    stage.set_environment(variables.map(|(name, value)| (name.to_owned(), value)).to_vec())?;
    let mut config = stage.config(&["transforms/retail"])?;
    config.text("micro_batch", "every", "200ms").text("operators.ann", "token", TOKEN);
    let mut instance = stage.start(&mut config)?;
    instance.wait_ready()?;
    let before = instance.get("/v1/modules/retail")?.json()?;
    let (folder, foreign) = (stage.folder().join("crate"), stage.folder().join("foreign"));
    Product::retail_copy(&folder, "retail", &[LOUD])?;
    let server = instance.server();
    let dev = |folder: &Path| stage.call(&["dev", &folder.display().to_string(), "--once", "--server", &server], None);
    let done = dev(&folder)?;
    ensure!(done.code == Some(0), "ended with {:?}: {}", done.code, done.stderr);
    says(&done.stdout, &["10,000 records:", "decision 2 about module retail"])?;
    let after = instance.get("/v1/modules/retail")?.json()?;
    ensure!(after["digest"] != before["digest"] && after["running"] == after["digest"], "{after}");
    ensure!(after["history"][0]["why"] == "lakeward dev", "{after}");

    // What the pipeline refuses is shown all the same, and the refusal too.
    Product::retail_copy(&foreign, "foreign", &[])?;
    let done = dev(&foreign)?;
    ensure!(done.code.is_some_and(|code| code != 0), "a refused build ended well: {}", done.stdout);
    ensure!(done.stdout.contains("10,000 records:") && done.stderr.contains("the pipeline refuses"), "{}", done.stderr);
    ensure!(
        instance.get("/v1/modules/retail")?.json()?["digest"] == after["digest"],
        "a refused build changed something"
    );
    ensure!(instance.terminate()?.success(), "the pipeline did not end well");
    Ok(())
}
