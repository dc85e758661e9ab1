//! What it costs that each row says which record it came from: the same rows are made Parquet with the origin columns and without.

use crate::alone::gather;
use crate::{cpu_seconds, float, stages};
use anyhow::Result;
use arrow_array::{ArrayRef, Int32Array, Int64Array};
use arrow_schema::Schema;
use lakeward::decode::Decoder;
use lakeward::product::Contract;
use lakeward::sink::system::{ORIGIN_COLUMNS, origin_fields};
use lakeward::sink::{FileWriter, Layout};
use lakeward::transform::{Host, Limits, Module};
use lakeward_tests::retail;
use std::sync::Arc;

/// Events of a chunk, as the pipeline has them.
const CHUNK: usize = 8_192;

/// Keys a mask, where the product has one.
const SECRET: &[u8] = b"a secret of the benchmark";

/// The rows of a chunk, each with the offset of its record.
struct Rows {
    columns: Vec<ArrayRef>,
    offsets: Vec<i64>,
}

/// Prints CPU nanoseconds and bytes a row, with the origin columns and without, round by round.
pub(crate) fn run(rounds: u32) -> Result<()> {
    let file = stages::module()?;
    let product = &file.manifest.products[0];
    let contract = Contract::new(product, Some(SECRET))?;
    let chunks = rows(&Module::load(&Host::new(Limits::default(), 1)?, &file)?, &contract)?;
    let count = float(chunks.iter().map(|rows| rows.offsets.len() as u64).sum());
    let plain = contract.table_schema();
    let fields = plain.fields().iter().cloned().chain(origin_fields());
    let with_origins = Schema::new(fields.collect::<Vec<_>>());
    for round in 1..=rounds.max(1) {
        let (ns, bytes) = encode(&chunks, &plain, false)?;
        let (ns_with, bytes_with) = encode(&chunks, &with_origins, true)?;
        println!(
            "round {round}: {:.1} ns and {:.2} bytes a row, with origins {:.1} ns and {:.2} bytes: {:.1} ns and {:.2} bytes more ({count} rows)",
            ns / count,
            bytes / count,
            ns_with / count,
            bytes_with / count,
            (ns_with - ns) / count,
            (bytes_with - bytes) / count,
        );
    }
    Ok(())
}

/// What the module and the contract make of all events.
fn rows(module: &Module, contract: &Contract) -> Result<Vec<Rows>> {
    let mut decoder = Decoder::new(&[&module.manifest().inputs[0].columns])?;
    let (mut chunks, mut first) = (Vec::new(), 0);
    for events in retail::events(usize::MAX)?.chunks(CHUNK) {
        for decoded in decoder.decode(&gather(events), 0) {
            let processed = module.process(0, &decoded.columns, decoded.rows.len());
            for output in processed.outputs.iter().filter(|output| output.product == 0) {
                let columns = contract.screen(&output.columns, output.origins.len()).columns;
                let offset = |event: &u32| first + i64::from(decoded.rows[*event as usize]);
                chunks.push(Rows { columns, offsets: output.origins.iter().map(offset).collect() });
            }
        }
        first += i64::try_from(events.len())?;
    }
    Ok(chunks)
}

/// CPU nanoseconds and bytes of one micro-batch of all rows.
fn encode(chunks: &[Rows], schema: &Schema, with_origins: bool) -> Result<(f64, f64)> {
    let increasing = &ORIGIN_COLUMNS[2..];
    let layout = Layout::new("rows", schema, &[], if with_origins { increasing } else { &[] });
    let started = cpu_seconds();
    let mut writer = FileWriter::new(layout);
    for rows in chunks {
        let mut columns = rows.columns.clone();
        if with_origins {
            columns.push(Arc::new(Int32Array::from_value(0, rows.offsets.len())));
            columns.push(Arc::new(Int32Array::from_value(0, rows.offsets.len())));
            columns.push(Arc::new(rows.offsets.iter().copied().collect::<Int64Array>()));
        }
        writer.write(columns)?;
    }
    let files = writer.finish()?;
    let ns = (cpu_seconds() - started) * 1e9;
    Ok((ns, float(files.iter().map(|file| file.bytes.len() as u64).sum())))
}
