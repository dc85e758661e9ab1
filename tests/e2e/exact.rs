//! What "exactly once" means to a reader of the retail tables, whatever happened on the way.

use anyhow::{Context, Result, ensure};
use lakeward_tests::produce::Counts;
use lakeward_tests::readers::Engine;
use lakeward_tests::stage::Stage;
use serde_json::json;

pub(crate) const SALES: (&str, &str) = ("sales", "silver/retail/sales");
pub(crate) const BY_COUNTRY: (&str, &str) = ("gold", "gold/retail/sales_by_country");
pub(crate) const DEAD_LETTERS: (&str, &str) = ("dead_letters", "_lakeward/dead_letters");
pub(crate) const COMMITS: (&str, &str) = ("commits", "_lakeward/commits");

/// Every record of `produced` (by partition) is one row or one dead letter; gold is what silver adds up to; and the commits
/// table accounts for all of it.
pub(crate) fn check(stage: &Stage, produced: &Counts) -> Result<()> {
    check_several(stage, produced)?;
    let numbers = stage.query(
        Engine::DuckDb,
        &[COMMITS],
        "SELECT count(*) = count(DISTINCT micro_batch) AS are_distinct FROM commits",
    )?;
    ensure!(numbers == [json!({"are_distinct": true})], "a micro-batch number stands twice");
    Ok(())
}

/// The same where several instances wrote, each of which numbers its own micro-batches.
pub(crate) fn check_several(stage: &Stage, produced: &Counts) -> Result<()> {
    every_record_once(stage, produced)?;
    gold_adds_up(stage)?;
    commits_account_for_all(stage, produced.iter().sum())
}

/// Retail makes at most one row of a record, so rows and dead letters together are the records.
pub(crate) fn every_record_once(stage: &Stage, produced: &Counts) -> Result<()> {
    let found = stage.query(
        Engine::DuckDb,
        &[SALES, DEAD_LETTERS],
        r#"WITH found AS (
             SELECT _lakeward_partition AS p, _lakeward_offset AS o FROM sales
             UNION ALL SELECT "partition", "offset" FROM dead_letters)
           SELECT p, count(*) AS records, count(DISTINCT o) AS distinct_records, min(o) AS first, max(o) AS last
           FROM found GROUP BY p ORDER BY p"#,
    )?;
    let expected: Vec<_> = produced
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(p, n)| json!({"p": p, "records": n, "distinct_records": n, "first": 0, "last": n - 1}))
        .collect();
    ensure!(found == expected, "rows and dead letters by partition:\n  {found:?}\nbut the topic holds\n  {expected:?}");
    Ok(())
}

/// The gold table equals the aggregation of silver that another engine computes.
pub(crate) fn gold_adds_up(stage: &Stage) -> Result<()> {
    let difference = stage.query(
        Engine::DuckDb,
        &[SALES, BY_COUNTRY],
        "WITH fresh AS (
             SELECT country, date_trunc('hour', sold_at) AS window_start, count(*)::BIGINT AS lines,
                    sum(line_total)::DECIMAL(38, 3) AS revenue, count(DISTINCT customer_id)::BIGINT AS customers
             FROM sales GROUP BY ALL),
           kept AS (
             SELECT country, window_start, lines::BIGINT AS lines, revenue::DECIMAL(38, 3) AS revenue,
                    customers::BIGINT AS customers
             FROM gold)
         (SELECT 'only in silver' AS side, * FROM (SELECT * FROM fresh EXCEPT ALL SELECT * FROM kept))
         UNION ALL
         (SELECT 'only in gold' AS side, * FROM (SELECT * FROM kept EXCEPT ALL SELECT * FROM fresh))
         ORDER BY country, window_start LIMIT 10",
    )?;
    ensure!(difference.is_empty(), "gold differs from silver: {difference:#?}");
    Ok(())
}

fn commits_account_for_all(stage: &Stage, records: i64) -> Result<()> {
    let totals = stage.query(
        Engine::DuckDb,
        &[COMMITS, SALES, DEAD_LETTERS],
        "SELECT sum(records)::BIGINT AS records, sum(dead_letters)::BIGINT AS dead_letters, sum(skips)::BIGINT AS skips,
                (SELECT count(*) FROM dead_letters) AS letters, (SELECT count(*) FROM sales) AS sales
         FROM commits",
    )?;
    let total = totals.first().context("a sum without a row")?;
    let number = |name: &str| total[name].as_i64().with_context(|| format!("{name} in {total}"));
    ensure!(number("records")? == records, "the commits count {total}, the topic holds {records} records");
    ensure!(number("dead_letters")? == number("letters")?, "commits and dead letters disagree: {total}");
    ensure!(
        number("records")? == number("sales")? + number("letters")? + number("skips")?,
        "records are missing: {total}"
    );
    Ok(())
}
