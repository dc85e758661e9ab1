//! Configuration files as an operator writes them, and what is said about the wrong ones.

use super::{Config, Error, LogFormat, Ratio, Start};
use std::path::Path;
use std::time::Duration;

const LEAST: &str = "pipeline = 'shop'\n[modules.retail]\npath = 'retail.wasm'\n";

fn env(name: &str) -> Option<String> {
    match name {
        "SECRET" => Some("0123456789abcdef0123".to_owned()),
        "SHORT" => Some("hunter2".to_owned()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, Error> {
    Config::parse(text, Path::new("/etc/lakeward"), &env)
}

#[test]
fn the_least_file_has_all_defaults() {
    let config = parse(LEAST).unwrap();
    assert_eq!(config.lake.location, "./lake");
    assert_eq!((config.kafka.brokers.as_deref(), config.kafka.group.as_str()), (None, "lakeward.shop"));
    assert_eq!(config.modules["retail"].path, Path::new("/etc/lakeward/retail.wasm"));
    assert_eq!(config.micro_batch.every, Duration::from_secs(5));
    assert_eq!((config.micro_batch.rows.get(), config.micro_batch.size), (1_000_000, 128 << 20));
    assert_eq!((config.transform.fuel.get(), config.transform.memory), (1_000_000_000, 64 << 20));
    assert_eq!((config.transform.timeout, config.transform.output), (Duration::from_secs(10), 64 << 20));
    assert_eq!(config.park_after("retail"), Some(Ratio::HALF));
    assert_eq!((config.gold.every, config.gold.idle_after), (Duration::from_secs(10), Duration::from_secs(300)));
    assert_eq!(config.gold.ahead, Duration::from_secs(86_400));
    assert_eq!(config.serve.listen.map(|address| address.to_string()).as_deref(), Some("127.0.0.1:8080"));
    assert!(config.masks.secret.is_none() && config.workers.count.is_none() && config.topics.is_empty());
    assert_eq!(config.log.format, LogFormat::Text);
}

#[test]
fn a_full_file_is_read_whole() {
    let config = parse(
        r#"
        pipeline = "online-retail"
        [lake]
        location = "${LAKE:-s3://lake/shop}"
        options = { aws_endpoint = "http://localhost:9000", aws_allow_http = true }
        [kafka]
        brokers = "${BROKERS:-127.0.0.1:9092}"
        group = "shop"
        [kafka.properties]
        security.protocol = "SSL"
        "fetch.min.bytes" = 1000
        [topics.orders]
        start = "latest"
        path = "events/*.ndjson"
        incarnation = 2
        [modules.retail]
        path = "../retail"
        park_after = "off"
        [modules.other]
        path = "other.wasm"
        [micro_batch]
        every = "500ms"
        rows = 10
        size = "1.5 MiB"
        [transform]
        fuel = 1000
        memory = "1 GiB"
        timeout = "1m"
        output = "8MiB"
        park_after = "2.5%"
        [workers]
        count = 3
        [gold]
        every = "1s"
        idle_after = "1h"
        [masks]
        secret = "${SECRET}"
        [serve]
        listen = "off"
        [log]
        format = "json"
        "#,
    )
    .unwrap();
    assert_eq!(config.lake.location, "s3://lake/shop");
    let options: Vec<_> = config.lake.options.iter().collect();
    assert_eq!(options, [("aws_allow_http", "true"), ("aws_endpoint", "http://localhost:9000")]);
    assert_eq!((config.kafka.brokers.as_deref(), config.kafka.group.as_str()), (Some("127.0.0.1:9092"), "shop"));
    assert_eq!(config.kafka.properties.get("security.protocol"), Some("SSL"));
    assert_eq!(config.kafka.properties.get("fetch.min.bytes"), Some("1000"));
    let lines = |name: &str| config.kafka.properties.line(name);
    assert_eq!(lines("fetch.min.bytes"), lines("security.protocol").map(|line| line + 1));
    assert_eq!(lines("no.such"), None);
    let orders = &config.topics["orders"];
    assert_eq!((orders.start, orders.incarnation), (Start::Latest, 2));
    assert_eq!(orders.path.as_deref(), Some(Path::new("/etc/lakeward/events/*.ndjson")));
    assert_eq!(config.micro_batch.size, 3 << 19);
    assert_eq!((config.transform.memory, config.transform.output), (1 << 30, 8 << 20));
    let share = "2.5%".parse().ok();
    let parked = ["retail", "other", "deployed by hand"].map(|module| config.park_after(module));
    assert_eq!(parked, [None, share, share]);
    assert_eq!(config.workers.count.map(usize::from), Some(3));
    assert_eq!(config.masks.secret.as_ref().map(|secret| secret.expose()), Some(&b"0123456789abcdef0123"[..]));
    assert_eq!((config.serve.listen, config.log.format), (None, LogFormat::Json));
}

#[test]
fn secrets_are_not_printed() {
    let secrets = "[masks]\nsecret = '${SECRET}'\n[lake.options]\nkey = 'hunter2'\n[kafka.properties]\n'sasl.password' = 'hunter2'\n";
    let printed = format!("{:?}", parse(&format!("{LEAST}{secrets}")).unwrap());
    assert!(printed.contains("sasl.password") && !printed.contains("hunter2") && !printed.contains("0123456789abcdef"));
    let message = parse(&format!("{LEAST}[masks]\nsecret = '${{SECRET}}' x\n")).unwrap_err().to_string();
    assert!(message.contains("${SECRET}") && !message.contains("0123456789abcdef"), "{message}");
}

/// What is said about `section` behind the least file, whose lines are 1 to 3.
fn refusal(section: &str) -> String {
    parse(&format!("{LEAST}{section}")).unwrap_err().to_string()
}

#[test]
fn an_unknown_key_is_shown_with_the_keys_that_there_are() {
    insta::assert_snapshot!(refusal("[micro_batch]\nrowz = 5"), @r#"
    line 5, column 1: unknown field `rowz`, expected one of `every`, `rows`, `size`
     5 | rowz = 5
       | ^^^^
    "#);
    insta::assert_snapshot!(refusal("[micro_batches]\nrows = 5"), @r#"
    line 4, column 2: unknown field `micro_batches`, expected one of `pipeline`, `lake`, `kafka`, `topics`, `modules`, `micro_batch`, `transform`, `workers`, `catch_up`, `gold`, `masks`, `shutdown`, `serve`, `operators`, `log`
     4 | [micro_batches]
       |  ^^^^^^^^^^^^^
    "#);
}

#[test]
fn a_wrong_value_is_shown_with_the_form_that_is_taken() {
    insta::assert_snapshot!(refusal("[micro_batch]\nevery = 5"), @r#"
    line 5, column 9: invalid type: integer `5`, expected a duration of at least 100 ms with its unit, such as "5s" or "500ms"
     5 | every = 5
       |         ^
    "#);
    insta::assert_snapshot!(refusal("[micro_batch]\nevery = \"50ms\""), @r#"
    line 5, column 9: invalid value: string "50ms", expected a duration of at least 100 ms with its unit, such as "5s" or "500ms"
     5 | every = "50ms"
       |         ^^^^^^
    "#);
    insta::assert_snapshot!(refusal("[micro_batch]\nrows = 0"), @r#"
    line 5, column 8: invalid value: integer `0`, expected a nonzero u64
     5 | rows = 0
       |        ^
    "#);
    insta::assert_snapshot!(refusal("[micro_batch]\nsize = \"128\""), @r#"
    line 5, column 8: invalid value: string "128", expected a size with its unit, such as "64 MiB"
     5 | size = "128"
       |        ^^^^^
    "#);
    insta::assert_snapshot!(refusal("[transform]\nmemory = \"5 GiB\""), @r#"
    line 5, column 10: invalid value: string "5 GiB", expected a size from "64 KiB" to "4 GiB" with its unit
     5 | memory = "5 GiB"
       |          ^^^^^^^
    "#);
    insta::assert_snapshot!(refusal("[transform]\npark_after = \"0.5\""), @r#"
    line 5, column 14: invalid value: string "0.5", expected a share of the records, such as "50%", or "off"
     5 | park_after = "0.5"
       |              ^^^^^
    "#);
    insta::assert_snapshot!(refusal("[serve]\nlisten = \"localhost\""), @r#"
    line 5, column 10: invalid value: string "localhost", expected an IP address with a port, such as "127.0.0.1:8080", or "off"
     5 | listen = "localhost"
       |          ^^^^^^^^^^^
    "#);
    insta::assert_snapshot!(refusal("[lake]\nlocation = \"ftp://lake\""), @r#"
    line 5, column 12: invalid value: string "ftp://lake", expected a folder, or a URL that starts with file://, s3://, s3a://, gs://, az:// or abfss://
     5 | location = "ftp://lake"
       |            ^^^^^^^^^^^^
    "#);
    insta::assert_snapshot!(refusal("[topics.orders]\nstart = \"newest\""), @r#"
    line 5, column 9: unknown variant `newest`, expected `earliest` or `latest`
     5 | start = "newest"
       |         ^^^^^^^^
    "#);
    insta::assert_snapshot!(refusal("[topics.\"../orders\"]\nincarnation = 1"), @r#"
    line 4, column 9: invalid value: string "../orders", expected a name of letters, digits, `_`, `-` and `.`
     4 | [topics."../orders"]
       |         ^^^^^^^^^^^
    "#);
    insta::assert_snapshot!(refusal("[kafka.properties]\ngroup.id = \"mine\""), @r#"
    line 4, column 1: `group.id` is Lakeward's own to set: set `kafka.group`
     4 | [kafka.properties]
       | ^^^^^^^^^^^^^^^^^^
    "#);
    insta::assert_snapshot!(refusal("[masks]\nsecret = \"${SHORT}\""), @r#"
    line 5, column 10: the secret has 7 bytes, at least 16 are needed
     5 | secret = "${SHORT}"
       |          ^^^^^^^^^^
    "#);
}

#[test]
fn a_file_without_a_module_or_a_name_is_refused() {
    insta::assert_snapshot!(parse("pipeline = 'shop'").unwrap_err().to_string(), @"there is no module; add a section [modules.<name>] with its `path`");
    insta::assert_snapshot!(parse("").unwrap_err().to_string(), @r#"
    line 1, column 1: missing field `pipeline`
     1 | 
       | ^
    "#);
    insta::assert_snapshot!(parse("pipeline = 'a/b'").unwrap_err().to_string(), @r#"
    line 1, column 12: invalid value: string "a/b", expected a name of letters, digits, `_`, `-` and `.`
     1 | pipeline = 'a/b'
       |            ^^^^^
    "#);
    insta::assert_snapshot!(parse("pipeline = \"${NAME}\"").unwrap_err().to_string(), @"the variable NAME on line 1 is not set; set it, or write ${NAME:-default}");
}

#[test]
fn a_file_is_named_with_its_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lakeward.toml");
    assert!(matches!(Config::load(&path), Err(Error::Read { .. })));
    std::fs::write(&path, "pipeline = 'shop'").unwrap();
    let Err(Error::File { path: named, source }) = Config::load(&path) else {
        panic!("a file without modules is refused")
    };
    assert_eq!((named, matches!(*source, Error::NoModules)), (path.clone(), true));
    std::fs::write(&path, LEAST).unwrap();
    assert_eq!(Config::load(&path).unwrap().modules["retail"].path, folder.path().join("retail.wasm"));
}
