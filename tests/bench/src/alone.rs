//! The module alone: decoded chunks in memory, called over and over, so that the wall's cost stands by itself.

use crate::{cpu_seconds, float, stages};
use anyhow::Result;
use lakeward::decode::{Decoder, Events};
use lakeward::record::{Chunk, Record};
use lakeward::transform::{Host, Limits, Module};
use lakeward_tests::retail;

/// Events that are decoded and kept: enough that they do not stay in a cache.
const EVENTS: usize = 200_000;

/// Prints CPU nanoseconds an event of the decoder and of the module, round by round.
pub(crate) fn run(chunk: usize, rounds: u32) -> Result<()> {
    let file = stages::module()?;
    let module = Module::load(&Host::new(Limits::default(), 1)?, &file)?;
    let events = retail::events(EVENTS)?;
    let chunks: Vec<Chunk> = events.chunks(chunk.max(1)).map(gather).collect();
    let mut decoder = Decoder::new(&[&file.manifest.inputs[0].columns])?;
    let count = float(events.len() as u64);
    for round in 1..=rounds.max(1) {
        let started = cpu_seconds();
        let decoded: Vec<Events> = chunks.iter().flat_map(|chunk| decoder.decode(chunk, 0)).collect();
        let decoding = cpu_seconds() - started;
        let started = cpu_seconds();
        let (mut rows, mut fuel) = (0, 0);
        for events in &decoded {
            let processed = module.process(0, &events.columns, events.rows.len());
            fuel += processed.usage.fuel;
            rows += processed.outputs.iter().map(|output| output.origins.len()).sum::<usize>();
        }
        let processing = cpu_seconds() - started;
        println!(
            "round {round}: decode {:.0} ns, module {:.0} ns and {:.0} fuel an event ({rows} rows, chunks of {chunk})",
            decoding * 1e9 / count,
            processing * 1e9 / count,
            float(fuel) / count
        );
    }
    Ok(())
}

/// A chunk of these events, from offset 0 on.
pub(crate) fn gather(events: &[retail::Event]) -> Chunk {
    let mut chunk = Chunk::new(retail::TOPIC.into(), 0, 0);
    for (offset, event) in (0..).zip(events) {
        chunk.push(Record {
            offset,
            timestamp_ms: -1,
            key: Some(event.invoice.as_bytes()),
            value: Some(event.json.as_bytes()),
        });
    }
    chunk
}
