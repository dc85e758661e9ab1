//! What the demo tells the person before it.

use super::{Published, Summary};
use crate::cli::{DemoArgs, Error, output};
use crate::clock;
use crate::serve::Site;
use crate::serve::status::State;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Says where to look.
pub(super) fn welcome(args: &DemoArgs, token: &str, config: &Path) -> Result<(), Error> {
    let (listen, lake, rate) = (args.listen, args.lake.display(), thousands(u64::from(args.rate)));
    output::print(format_args!(
        "\n{rate} orders a second, dirty on purpose, into {lake}\n\n  \
         page     http://{listen}/\n  \
         answer   curl 'http://{listen}/v1/products/retail/sales_by_country/rows?limit=5'\n  \
         DuckDB   INSTALL delta; LOAD delta;\n           \
         SELECT country, sum(revenue) FROM delta_scan('{lake}/gold/retail/sales_by_country') GROUP BY 1;\n  \
         Python   pip install deltalake pyarrow\n           \
         from deltalake import DeltaTable; DeltaTable('{lake}/silver/retail/sales').to_pyarrow_table()\n  \
         release  export LAKEWARD_TOKEN={token}\n           \
         lakeward deploy path/to/module.wasm --server http://{listen}\n  \
         audit    lakeward verify --config {}\n  \
         stop     {}\n\n",
        config.display(),
        args.seconds.map_or_else(|| "Ctrl-C".to_owned(), |seconds| format!("Ctrl-C, or by itself after {seconds} s"))
    ))
}

/// Prints a line each second; ends when there is nowhere to print it.
pub(super) async fn progress(site: Arc<Site>) {
    let started = clock::instant();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let status = site.status();
        let seconds = started.elapsed().as_secs();
        if !matches!(status.state, State::Running) {
            if output::print(format_args!("{seconds:>5} s  {}\n", status.state)).is_err() {
                return;
            }
            continue;
        }
        let lag: i64 = status.topics.iter().flat_map(|topic| &topic.partitions).filter_map(|p| p.lag).sum();
        let printed = output::print(format_args!(
            "{seconds:>5} s  {:>9} records/s   lag {:>6}   fresh {:>4.1} s   micro-batch {:>5}   {:>9} rows   {:>7} dead letters\n",
            thousands(whole(status.throughput.records_per_second)),
            thousands(u64::try_from(lag).unwrap_or(0)),
            status.freshness_seconds.unwrap_or(0.0),
            status.commits.micro_batch.unwrap_or(0),
            thousands(status.commits.total.rows),
            thousands(status.commits.total.dead_letters),
        ));
        if printed.is_err() {
            return;
        }
    }
}

/// Says what was done.
pub(super) fn farewell(summary: &Summary, published: Option<&Published>, args: &DemoArgs) -> Result<(), Error> {
    output::print(format_args!(
        "\n{} records read in {:.1} s: {} rows, {} skips, {} dead letters, {} rows late for their window; {} micro-batches committed to {}\n",
        thousands(summary.records),
        summary.seconds,
        thousands(summary.rows.values().sum()),
        thousands(summary.skips),
        thousands(summary.dead_letters),
        thousands(summary.late),
        thousands(summary.micro_batches),
        args.lake.display()
    ))?;
    if let Some(published) = published {
        let counts = &published.counts;
        output::print(format_args!(
            "{} records were published: {} good, {} that the rule rejects, {} poison\n",
            thousands(counts.sent),
            thousands(counts.good),
            thousands(counts.rejected),
            thousands(counts.poison)
        ))?;
    }
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people: finite and not negative"
)]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}

/// A number with a comma between each three digits.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
