//! What the demo's orders are like.

use super::*;
use serde::Deserialize;

const NOW_MS: i64 = 1_767_225_600_000;
const EVENTS: u64 = 20_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Line {
    #[serde(rename = "seq")]
    seq: u64,
    invoice_no: String,
    stock_code: String,
    description: Option<String>,
    quantity: i64,
    invoice_date: String,
    unit_price: f64,
    #[serde(rename = "CustomerID")]
    customer_id: Option<String>,
    country: String,
}

impl Line {
    fn is_good(&self) -> bool {
        self.unit_price > 0.0 && self.description.as_ref().is_some_and(|text| !text.trim().is_empty())
    }
}

fn events(seed: u64) -> (Vec<Event>, Counts) {
    let mut generator = Generator::new(seed, 0);
    let events = (0..EVENTS).map(|n| generator.next(NOW_MS + i64::try_from(n).unwrap())).collect();
    (events, generator.counts().clone())
}

fn parse(event: &Event) -> Option<Line> {
    serde_json::from_slice(event.value.as_deref()?).ok()
}

#[test]
fn equal_seeds_make_equal_events() {
    let (first, counts) = events(7);
    assert_eq!((first.clone(), counts), events(7));
    assert_ne!(first, events(8).0);
}

#[test]
fn the_counts_are_what_a_reader_of_the_events_finds() {
    let (events, counts) = events(1);
    let lines: Vec<Option<Line>> = events.iter().map(parse).collect();
    let good = lines.iter().flatten().filter(|line| line.is_good()).count() as u64;
    let poison = lines.iter().filter(|line| line.is_none()).count() as u64;
    assert_eq!((counts.sent, counts.good, counts.poison), (EVENTS, good, poison));
    assert_eq!(counts.rejected, EVENTS - good - poison);
    assert_eq!(counts.by_kind.values().sum::<u64>(), EVENTS);
}

#[test]
fn every_kind_of_dirt_occurs_as_often_as_said() {
    let (_, counts) = events(2);
    for (kind, share) in SHARES {
        let (expected, found) = (share * EVENTS / 10_000, counts.by_kind.get(kind.name()).copied().unwrap_or(0));
        // Five standard deviations of a Poisson count, so that no seed is a bad one.
        let slack = 5 * expected.isqrt() + 5;
        assert!(found.abs_diff(expected) <= slack && found > 0, "{}: {found}, not about {expected}", kind.name());
    }
}

#[test]
fn lines_look_like_those_of_the_shop() {
    let (events, _) = events(3);
    let lines: Vec<Line> = events.iter().filter_map(parse).collect();
    let share = |fits: fn(&Line) -> bool| lines.iter().filter(|line| fits(line)).count() * 1_000 / lines.len();
    assert!((820..=950).contains(&share(|line| line.country == "United Kingdom")), "most orders are from home");
    assert!((180..=300).contains(&share(|line| line.customer_id.is_none())), "a quarter has no customer");
    assert!((10..=45).contains(&share(|line| line.invoice_no.starts_with('C'))), "some are cancelled");
    for line in &lines {
        assert_eq!(line.quantity < 0, line.invoice_no.starts_with('C'), "{}", line.seq);
        assert!(line.customer_id.as_ref().is_none_or(|id| id.ends_with(".0")), "{}", line.seq);
        assert!(line.stock_code.len() >= 5, "{}", line.stock_code);
    }
}

#[test]
fn the_key_is_the_invoice_and_a_price_never_changes() {
    let (events, _) = events(4);
    let mut prices = BTreeMap::new();
    for (event, line) in events.iter().filter_map(|event| Some((event, parse(event)?))) {
        assert_eq!(event.key.as_deref(), Some(line.invoice_no.as_bytes()));
        if line.unit_price > 0.0 {
            let price = *prices.entry(line.stock_code).or_insert(line.unit_price);
            assert!((price - line.unit_price).abs() < f64::EPSILON);
        }
    }
    assert!(prices.len() > 150, "only {} articles were sold", prices.len());
}

#[test]
fn a_clean_line_is_dated_by_the_clock() {
    let mut generator = Generator::new(5, 41);
    let line = std::iter::repeat_with(|| generator.next(NOW_MS + 999))
        .find_map(|event| {
            parse(&event).filter(Line::is_good).filter(|line| line.invoice_date.as_str() > "2025-12-31 23:59")
        })
        .unwrap();
    assert!(line.seq >= 41);
    assert!(
        ["2026-01-01 00:00:00", "2025-12-31 23:59:59"].contains(&line.invoice_date.as_str()),
        "{}",
        line.invoice_date
    );
}
