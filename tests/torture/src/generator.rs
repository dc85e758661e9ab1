//! Seeded events, and what the tables must say of each: by rules written here once more, so that the pipeline cannot be its own witness.

use chrono::DateTime;
use lakeward_tests::produce::Message;
use lakeward_tests::random::Random;
use serde::Serialize;
use serde_json::json;

/// 2011-03-28, so that a lake's life crosses the end of a month, by which the tables are partitioned.
const START_S: i64 = 1_301_270_400;

const HOUR_S: i64 = 3600;
const DAY_S: i64 = 24 * HOUR_S;
/// The lateness of both gold products.
const LATENESS_S: i64 = HOUR_S;

const COUNTRIES: [&str; 6] = ["United Kingdom", "France", "EIRE", "Germany", "Channel Islands", "Côte d'Ivoire"];
const NAMES: [&str; 5] =
    [" WHITE METAL LANTERN", "RED SPOT CUP ", "\"QUOTED\", WITH COMMA", "£ SIGN MUG", "  PLASTERS IN TIN  "];

/// A row of `sales` that must be there, of each module.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Sale {
    partition: usize,
    offset: i64,
    seq: i64,
    invoice: String,
    kind: &'static str,
    stock_code: String,
    description: String,
    quantity: i64,
    /// Decimals are text with three digits behind the point.
    unit_price: String,
    line_total: String,
    customer_id: Option<i64>,
    country: &'static str,
    sold_at: String,
    /// Whether it came after its hour was closed, and so counts in no hour.
    late_for_hour: bool,
    /// The same for its day.
    late_for_day: bool,
}

/// A dead letter that must be there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct DeadLetter {
    partition: usize,
    offset: i64,
    stage: &'static str,
    /// Where the module words it; the host's own words are free.
    reason: Option<String>,
    /// The name without its owner's.
    product: Option<&'static str>,
    value: String,
}

/// What a round sends and what must come of it.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// In the order of sending.
    pub(crate) messages: Vec<Message>,
    /// Rows to be.
    pub(crate) sales: Vec<Sale>,
    /// Dead letters to be.
    pub(crate) dead_letters: Vec<DeadLetter>,
}

impl Events {
    /// Says of one row what is not so.
    pub(crate) fn falsify(&mut self) {
        if let Some(sale) = self.sales.last_mut() {
            sale.quantity += 1;
        }
    }
}

/// The events of one topic from its beginning.
#[derive(Debug)]
pub(crate) struct Generator {
    /// By partition: the offset of the next record.
    next: Vec<i64>,
    /// By partition: the largest event time of a row.
    watermarks_s: Vec<i64>,
    seq: i64,
    clock_s: i64,
}

impl Generator {
    /// A topic that is empty.
    #[must_use]
    pub(crate) fn new(partitions: usize) -> Self {
        Self { next: vec![0; partitions], watermarks_s: vec![i64::MIN; partitions], seq: 0, clock_s: START_S }
    }

    /// Records sent, by partition.
    #[must_use]
    pub(crate) fn sent(&self) -> &[i64] {
        &self.next
    }

    /// The next `count` events.
    pub(crate) fn events(&mut self, random: &mut Random, count: usize) -> Events {
        let mut events = Events::default();
        for _ in 0..count {
            // Every partition has a row before time goes on: what is closed hangs on all that ever had a record.
            let fresh = self.next.iter().position(|next| *next == 0);
            let partition = fresh.unwrap_or_else(|| random.choose(&(0..self.next.len()).collect::<Vec<_>>()));
            self.clock_s += if fresh.is_some() { 0 } else { i64::try_from(random.between(1, 40)).unwrap_or(1) };
            let value = match random.between(0, 1000) {
                0..15 if fresh.is_none() => self.poison(random, partition, &mut events),
                15..45 if fresh.is_none() => self.reject(random, partition, &mut events),
                _ => self.sale(random, partition, fresh.is_none(), &mut events),
            };
            let number = i32::try_from(partition).unwrap_or_default();
            events.messages.push(Message::placed(number, value));
            self.next[partition] += 1;
            self.seq += 1;
        }
        events
    }

    /// A good event; now and then one that comes hours after its time.
    fn sale(&mut self, random: &mut Random, partition: usize, may_be_late: bool, events: &mut Events) -> String {
        let back_s = if may_be_late && random.per_mille(15) { random.between(2, 60) } else { 0 };
        let at_s = self.clock_s - i64::try_from(back_s).unwrap_or(0) * HOUR_S;
        let watermark_s = &mut self.watermarks_s[partition];
        let is_late = |window_s: i64| at_s - at_s.rem_euclid(window_s) + window_s + LATENESS_S <= *watermark_s;
        let (late_for_hour, late_for_day) = (is_late(HOUR_S), is_late(DAY_S));
        *watermark_s = (*watermark_s).max(at_s);
        let line = self.line(random, at_s);
        let value = line.json(&line.price());
        let sale = line.sale(partition, self.next[partition], (late_for_hour, late_for_day));
        let missed = [(late_for_hour, "sales_by_country"), (late_for_day, "top_products")];
        for (_, product) in missed.into_iter().filter(|(late, _)| *late) {
            let value = value.clone();
            let (stage, reason, product) = ("aggregate", None, Some(product));
            events.dead_letters.push(DeadLetter { offset: sale.offset, partition, stage, reason, product, value });
        }
        events.sales.push(sale);
        value
    }

    /// An event that is no sale by the rule: no price, or no name.
    fn reject(&mut self, random: &mut Random, partition: usize, events: &mut Events) -> String {
        let mut line = self.line(random, self.clock_s);
        let (price, reason) = if random.per_mille(500) {
            ("0", "unit price 0.000 is not positive")
        } else {
            line.description = "   ";
            ("1.25", "no description")
        };
        let value = line.json(price);
        self.dead(partition, "transform", Some(reason), &value, events);
        value
    }

    /// A record that is no event at all.
    fn poison(&mut self, random: &mut Random, partition: usize, events: &mut Events) -> String {
        let line = self.line(random, self.clock_s);
        let value = match random.between(0, 3) {
            0 => line.json(&line.price()).chars().take(60).collect(),
            1 => line.json("\"free\""),
            _ => "no JSON".to_owned(),
        };
        self.dead(partition, "decode", None, &value, events);
        value
    }

    fn dead(&self, partition: usize, stage: &'static str, reason: Option<&str>, value: &str, events: &mut Events) {
        let (reason, value) = (reason.map(str::to_owned), value.to_owned());
        let offset = self.next[partition];
        events.dead_letters.push(DeadLetter { partition, offset, stage, reason, product: None, value });
    }

    fn line(&self, random: &mut Random, at_s: i64) -> Line {
        let signed = |number: u64| i64::try_from(number).unwrap_or_default();
        let is_cancelled = random.per_mille(20);
        let quantity = signed(random.between(1, 90));
        Line {
            seq: self.seq,
            invoice: format!("{}{}", if is_cancelled { "C" } else { "" }, 536_365 + self.seq / 7),
            is_cancelled,
            stock_code: format!("{}", 71_000 + random.between(0, 20)),
            description: random.choose(&NAMES),
            quantity: if is_cancelled { -quantity } else { quantity },
            price_milli: signed(random.between(1, 40_000)),
            customer_id: (!random.per_mille(250)).then(|| signed(random.between(17_850, 17_880))),
            country: random.choose(&COUNTRIES),
            at_s,
        }
    }
}

/// An invoice line.
#[derive(Debug)]
struct Line {
    seq: i64,
    invoice: String,
    is_cancelled: bool,
    stock_code: String,
    description: &'static str,
    quantity: i64,
    price_milli: i64,
    customer_id: Option<i64>,
    country: &'static str,
    at_s: i64,
}

impl Line {
    fn price(&self) -> String {
        decimal(self.price_milli)
    }

    /// As the till publishes it; the price is spelled out by the caller.
    fn json(&self, price: &str) -> String {
        let customer = self.customer_id.map(|id| format!("{id}.0"));
        let at = DateTime::from_timestamp(self.at_s, 0).unwrap_or_default().format("%Y-%m-%d %H:%M:%S").to_string();
        format!(
            r#"{{"seq":{},"InvoiceNo":{},"StockCode":{},"Description":{},"Quantity":{},"InvoiceDate":{},"UnitPrice":{price},"CustomerID":{},"Country":{}}}"#,
            self.seq,
            json!(self.invoice),
            json!(self.stock_code),
            json!(self.description),
            self.quantity,
            json!(at),
            json!(customer),
            json!(self.country),
        )
    }

    fn sale(&self, partition: usize, offset: i64, (late_for_hour, late_for_day): (bool, bool)) -> Sale {
        Sale {
            partition,
            offset,
            seq: self.seq,
            invoice: self.invoice.clone(),
            kind: if self.is_cancelled { "cancellation" } else { "sale" },
            stock_code: self.stock_code.clone(),
            description: self.description.trim().to_owned(),
            quantity: self.quantity,
            unit_price: self.price(),
            line_total: decimal(self.price_milli * self.quantity),
            customer_id: self.customer_id,
            country: self.country,
            sold_at: DateTime::from_timestamp(self.at_s, 0).unwrap_or_default().to_rfc3339(),
            late_for_hour,
            late_for_day,
        }
    }
}

/// Thousandths as a decimal.
fn decimal(milli: i64) -> String {
    let sign = if milli < 0 { "-" } else { "" };
    format!("{sign}{}.{:03}", milli.abs() / 1000, milli.abs() % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_one_row_or_one_dead_letter_and_late_ones_are_both() {
        let mut generator = Generator::new(4);
        let events = generator.events(&mut Random::new(5), 20_000);
        let is_late = |letter: &&DeadLetter| letter.stage == "aggregate";
        let late = events.dead_letters.iter().filter(is_late).count();
        assert_eq!(events.messages.len(), events.sales.len() + events.dead_letters.len() - late);
        assert_eq!(generator.sent().iter().sum::<i64>(), 20_000);
        assert!(late > 50 && events.sales.iter().any(|sale| sale.late_for_hour && !sale.late_for_day), "{late} late");
        for stage in ["decode", "transform"] {
            assert!(events.dead_letters.iter().filter(|letter| letter.stage == stage).count() > 100, "{stage}");
        }
    }

    #[test]
    fn a_seed_decides_the_events() {
        let values = |seed| {
            let events = Generator::new(3).events(&mut Random::new(seed), 500);
            events.messages.into_iter().map(|message| message.value).collect::<Vec<_>>()
        };
        assert_eq!(values(1), values(1));
        assert_ne!(values(1), values(2));
    }

    #[test]
    fn thousandths_are_spelled_with_their_sign() {
        assert_eq!([decimal(-5), decimal(1_250), decimal(-2_001)], ["-0.005", "1.250", "-2.001"]);
    }
}
