//! What a good engineer writes in an afternoon without Lakeward: parse into a struct, apply the rule, append to builders, write Parquet.
//!
//! It reads through the same batch reader as the pipeline, which is faster than polling record by record. It has no sandbox, no contract,
//! no dead letters, no commit and no offsets: a crash loses or doubles rows.

use crate::{Done, stages};
use anyhow::Result;
use arrow_array::builder::{Decimal128Builder, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::Arc;

/// Rows of a file.
const FILE_ROWS: u64 = 1_000_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Line<'a> {
    #[serde(rename = "seq")]
    seq: i64,
    #[serde(borrow)]
    invoice_no: Cow<'a, str>,
    #[serde(borrow)]
    stock_code: Cow<'a, str>,
    #[serde(borrow)]
    description: Option<Cow<'a, str>>,
    quantity: i64,
    #[serde(borrow)]
    invoice_date: Cow<'a, str>,
    unit_price: f64,
    #[serde(borrow, rename = "CustomerID")]
    customer_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    country: Cow<'a, str>,
}

#[derive(Default)]
struct Columns {
    seq: Int64Builder,
    invoice: StringBuilder,
    kind: StringBuilder,
    stock_code: StringBuilder,
    description: StringBuilder,
    quantity: Int64Builder,
    unit_price: Decimal128Builder,
    line_total: Decimal128Builder,
    customer_id: Int64Builder,
    country: StringBuilder,
    sold_at: TimestampMicrosecondBuilder,
    partition: Int32Builder,
    offset: Int64Builder,
}

pub(crate) fn run(brokers: &str) -> Result<Done> {
    let folder = tempfile::tempdir()?;
    let (mut columns, schema) = (Columns::default(), schema());
    let (mut rows, mut in_file, mut files) = (0_u64, 0_u64, 0_u32);
    let mut writer = new_writer(&schema)?;
    let mut write_out = |writer: ArrowWriter<Vec<u8>>| -> Result<()> {
        files += 1;
        Ok(std::fs::write(folder.path().join(format!("{files}.parquet")), writer.into_inner()?)?)
    };
    let events = stages::consume(brokers, |chunk| {
        let mut taken = 0;
        for index in 0..chunk.len() {
            let record = chunk.record(index);
            let Some(value) = record.value else { continue };
            let Ok(line) = sonic_rs::from_slice::<Line<'_>>(value) else { continue };
            taken += u64::from(columns.take(&line, chunk.partition(), record.offset));
        }
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns.finish()?)?)?;
        (rows, in_file) = (rows + taken, in_file + taken);
        if in_file >= FILE_ROWS {
            write_out(std::mem::replace(&mut writer, new_writer(&schema)?))?;
            in_file = 0;
        }
        Ok(())
    })?;
    write_out(writer)?;
    Ok(Done { events, rows, module_ns: None })
}

fn new_writer(schema: &SchemaRef) -> Result<ArrowWriter<Vec<u8>>> {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    Ok(ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties))?)
}

impl Columns {
    /// Appends the row of a line, if the rule makes one of it.
    fn take(&mut self, line: &Line<'_>, partition: i32, offset: i64) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "prices are far below 2^53 thousandths")]
        let price = (line.unit_price * 1000.0).round() as i128;
        let description = line.description.as_deref().map_or("", str::trim);
        let Some(sold_at) = micros(line.invoice_date.as_bytes()) else { return false };
        if price <= 0 || description.is_empty() {
            return false;
        }
        self.seq.append_value(line.seq);
        self.invoice.append_value(&line.invoice_no);
        self.kind.append_value(if line.invoice_no.starts_with('C') { "cancellation" } else { "sale" });
        self.stock_code.append_value(&line.stock_code);
        self.description.append_value(description);
        self.quantity.append_value(line.quantity);
        self.unit_price.append_value(price);
        self.line_total.append_value(price * i128::from(line.quantity));
        let customer = line.customer_id.as_deref().map(|id| id.strip_suffix(".0").unwrap_or(id));
        self.customer_id.append_option(customer.and_then(|id| id.parse().ok()));
        self.country.append_value(&line.country);
        self.sold_at.append_value(sold_at);
        self.partition.append_value(partition);
        self.offset.append_value(offset);
        true
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        let decimal = |builder: &mut Decimal128Builder| -> Result<ArrayRef> {
            Ok(Arc::new(builder.finish().with_precision_and_scale(18, 3)?))
        };
        Ok(vec![
            Arc::new(self.seq.finish()),
            Arc::new(self.invoice.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.stock_code.finish()),
            Arc::new(self.description.finish()),
            Arc::new(self.quantity.finish()),
            decimal(&mut self.unit_price)?,
            decimal(&mut self.line_total)?,
            Arc::new(self.customer_id.finish()),
            Arc::new(self.country.finish()),
            Arc::new(self.sold_at.finish().with_timezone("UTC")),
            Arc::new(self.partition.finish()),
            Arc::new(self.offset.finish()),
        ])
    }
}

fn schema() -> SchemaRef {
    let text = DataType::Utf8;
    let money = DataType::Decimal128(18, 3);
    let fields = [
        ("seq", DataType::Int64),
        ("invoice", text.clone()),
        ("kind", text.clone()),
        ("stock_code", text.clone()),
        ("description", text.clone()),
        ("quantity", DataType::Int64),
        ("unit_price", money.clone()),
        ("line_total", money),
        ("customer_id", DataType::Int64),
        ("country", text),
        ("sold_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ("partition", DataType::Int32),
        ("offset", DataType::Int64),
    ];
    Arc::new(Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, name == "customer_id")).to_vec()))
}

/// `2010-12-01 08:26:00` in microseconds since 1970-01-01T00:00:00Z.
fn micros(text: &[u8]) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| {
        text.get(range)?
            .iter()
            .try_fold(0_i64, |sum, digit| Some(sum * 10 + i64::from(char::from(*digit).to_digit(10)?)))
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    // Days from civil, with March as the first month.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000)
}
