//! The orders of a gift wholesaler, as its tills would publish them: steady, seeded, and dirty on purpose.
//!
//! The events have the shape of the public Online Retail data set: one JSON object for an invoice line, the invoice as key.

use super::catalogue::{Article, articles, customer};
use super::dirt::{Kind, SHARES};
use super::random::Random;
use chrono::DateTime;
use std::collections::BTreeMap;

/// What is published: a Kafka record without its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The invoice's number.
    pub key: Option<Vec<u8>>,
    /// The JSON of an invoice line, or what should have been that.
    pub value: Option<Vec<u8>>,
}

/// What a generator has made so far, so that what arrives can be compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// All events.
    pub sent: u64,
    /// Events that become rows under the silver rule: a positive price and a description. Late ones are among them.
    pub good: u64,
    /// Events that decode but that the silver rule rejects.
    pub rejected: u64,
    /// Events that do not decode.
    pub poison: u64,
    /// Good events that tell of something minutes or hours ago.
    pub late: u64,
    /// All events by what is special about them, by name.
    pub by_kind: BTreeMap<&'static str, u64>,
}

/// Makes events without an end; equal seeds and clocks make equal events.
#[derive(Debug)]
pub struct Generator {
    random: Random,
    articles: Vec<Article>,
    seq: u64,
    invoice: Invoice,
    last_good: Option<(Event, bool)>,
    counts: Counts,
}

/// The invoice whose lines are being made.
#[derive(Debug, Default)]
struct Invoice {
    number: u64,
    cancelled: bool,
    customer: Option<u32>,
    country: &'static str,
    lines_left: u64,
}

impl Generator {
    /// A generator whose first event has the sequence number `start_seq`.
    #[must_use]
    pub fn new(seed: u64, start_seq: u64) -> Self {
        // The catalogue depends on nothing but itself: a restarted shop sells the same things at the same prices.
        let articles = articles(&mut Random::new(0));
        // Invoices have 10 lines on average: a restarted shop goes on above the numbers that it used.
        let invoice = Invoice { number: 536_365 + start_seq / 8, ..Invoice::default() };
        let random = Random::new(seed ^ start_seq.rotate_left(32));
        Self { random, articles, seq: start_seq, invoice, last_good: None, counts: Counts::default() }
    }

    /// What was made so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The sequence number of the next event.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.seq
    }

    /// The next event, of something that happened at `now_ms` (milliseconds since 1970-01-01T00:00:00Z) or was held up since.
    pub fn next(&mut self, now_ms: i64) -> Event {
        if self.invoice.lines_left == 0 {
            self.open_invoice();
        }
        self.invoice.lines_left -= 1;
        let kind = *self.random.weighted(&SHARES);
        let event = match (kind, &self.last_good) {
            (Kind::Duplicate, Some((event, late))) => (event.clone(), *late),
            _ => (self.line(kind, now_ms), kind.is_late()),
        };
        self.count(kind, event.1);
        if kind.is_good() {
            self.last_good = Some(event.clone());
        }
        self.seq += 1;
        event.0
    }

    fn open_invoice(&mut self) {
        let (id, country) = customer(&mut self.random);
        self.invoice = Invoice {
            number: self.invoice.number + 1,
            cancelled: self.random.chance(25),
            customer: (!self.random.chance(240)).then_some(id),
            country,
            lines_left: self.random.between(1, 20),
        };
    }

    fn count(&mut self, kind: Kind, late: bool) {
        let counts = &mut self.counts;
        counts.sent += 1;
        *counts.by_kind.entry(kind.name()).or_default() += 1;
        match kind {
            Kind::Poison(_) => counts.poison += 1,
            kind if kind.is_good() => {
                counts.good += 1;
                counts.late += u64::from(late);
            }
            _ => counts.rejected += 1,
        }
    }

    fn line(&mut self, kind: Kind, now_ms: i64) -> Event {
        let article = self.articles[self.random.skewed(self.articles.len())].clone();
        let quantity = i64::try_from(self.random.between(1, 24)).expect("a quantity is small");
        let held_up_ms = kind.held_up_ms(&mut self.random);
        let number = if self.invoice.cancelled { format!("C{}", self.invoice.number) } else { self.invoice.number.to_string() };
        let description = kind.description(&article.name, &mut self.random);
        let text = format!(
            r#"{{"seq":{},"InvoiceNo":"{number}","StockCode":"{}","Description":{description},"Quantity":{},"InvoiceDate":"{}","UnitPrice":{},"CustomerID":{},"Country":"{}"}}"#,
            self.seq,
            article.code,
            if self.invoice.cancelled { -quantity } else { quantity },
            till_time(now_ms - held_up_ms),
            kind.price(article.pence),
            self.invoice.customer.map_or("null".to_owned(), |id| format!(r#""{id}.0""#)),
            self.invoice.country,
        );
        let value = match kind {
            Kind::Poison(poison) => poison.spoil(text, &mut self.random),
            _ => Some(text.into_bytes()),
        };
        Event { key: Some(number.into_bytes()), value }
    }
}

/// A time as the tills write it: UTC, to the second.
fn till_time(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests;
