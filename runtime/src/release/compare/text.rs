//! A report for a person at a terminal.

use super::report::{ColumnReport, GoldReport, Presence, ProductReport, Reason, Report};
use std::fmt;

/// A number with its thousands set apart.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows;
        writeln!(f, "{} records compared, {} rows", grouped(self.records), grouped(rows.total()))?;
        let counts =
            [("same", rows.same), ("changed", rows.changed), ("only old", rows.only_old), ("only new", rows.only_new)];
        for (name, count) in counts {
            writeln!(f, "  {name:9} {:>13}{}", grouped(count), percent(count, rows.total()))?;
        }
        let rejects = &self.rejects;
        writeln!(
            f,
            "dead letters: {} gained, {} lost, {} of both",
            grouped(rejects.gained),
            grouped(rejects.lost),
            grouped(rejects.both)
        )?;
        reasons(f, "gained", &rejects.gained_reasons)?;
        reasons(f, "lost", &rejects.lost_reasons)?;
        if self.stops.old + self.stops.new > 0 {
            writeln!(
                f,
                "a `stop` expectation was broken: in {} chunks by the old module, in {} by the new",
                self.stops.old, self.stops.new
            )?;
        }
        self.products.iter().try_for_each(|product| show_product(f, product))?;
        self.gold.iter().try_for_each(|gold| show_gold(f, gold))?;
        let (old, new) = (self.cost.old, self.cost.new);
        writeln!(
            f,
            "\ncost an event: {:.0} ns before, {:.0} ns after{}; {:.0} fuel before, {:.0} after{}",
            old.ns_per_event,
            new.ns_per_event,
            change(old.ns_per_event, new.ns_per_event),
            old.fuel_per_event,
            new.fuel_per_event,
            change(old.fuel_per_event, new.fuel_per_event)
        )?;
        if old.traps + new.traps > 0 {
            writeln!(f, "calls that failed: {} before, {} after", grouped(old.traps), grouped(new.traps))?;
        }
        Ok(())
    }
}

fn percent(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return String::new();
    }
    #[expect(clippy::cast_precision_loss, reason = "a share is shown with a few digits")]
    let share = part as f64 / whole as f64 * 100.0;
    if share < 0.01 { "   < 0.01 %".to_owned() } else { format!("   {share:6.2} %") }
}

fn change(before: f64, after: f64) -> String {
    if before <= 0.0 {
        return String::new();
    }
    format!(" ({:+.0} %)", (after / before - 1.0) * 100.0)
}

fn reasons(f: &mut fmt::Formatter<'_>, what: &str, reasons: &[Reason]) -> fmt::Result {
    for reason in reasons {
        writeln!(
            f,
            "  {what} {:>9}  {}: {}  (first {})",
            grouped(reason.records),
            reason.stage,
            reason.reason,
            reason.first
        )?;
    }
    Ok(())
}

fn show_product(f: &mut fmt::Formatter<'_>, product: &ProductReport) -> fmt::Result {
    let rows = product.rows;
    writeln!(f)?;
    match product.presence {
        Presence::Old => {
            return writeln!(f, "{}: only the old module writes it ({} rows)", product.product, grouped(rows.total()));
        }
        Presence::New => {
            return writeln!(f, "{}: only the new module writes it ({} rows)", product.product, grouped(rows.total()));
        }
        Presence::Both => {}
    }
    let plain = product
        .columns
        .iter()
        .all(|column| column.differs == 0 && column.presence == Presence::Both && column.types.is_none());
    if plain && rows.changed + rows.only_old + rows.only_new == 0 {
        return writeln!(f, "{}: all {} rows are the same", product.product, grouped(rows.same));
    }
    writeln!(
        f,
        "{}: {} same, {} changed, {} only old, {} only new",
        product.product,
        grouped(rows.same),
        grouped(rows.changed),
        grouped(rows.only_old),
        grouped(rows.only_new)
    )?;
    product.columns.iter().try_for_each(|column| show_column(f, column))?;
    for (name, examples) in [("only old", &product.only_old), ("only new", &product.only_new)] {
        for example in examples {
            writeln!(f, "  {name}  {}  {}", example.origin, example.row)?;
        }
    }
    Ok(())
}

fn show_column(f: &mut fmt::Formatter<'_>, column: &ColumnReport) -> fmt::Result {
    match column.presence {
        Presence::Old => return writeln!(f, "  {}: only in the old module", column.column),
        Presence::New => return writeln!(f, "  {}: only in the new module", column.column),
        Presence::Both if column.differs == 0 && column.types.is_none() => return Ok(()),
        Presence::Both => {}
    }
    let types = column.types.as_ref().map_or_else(String::new, |[old, new]| format!(" ({old} becomes {new})"));
    let differ = if column.differs == 1 { "value differs" } else { "values differ" };
    writeln!(f, "  {}{types}: {} {differ}", column.column, grouped(column.differs))?;
    for example in &column.examples {
        let value =
            |value: &Option<String>| value.as_ref().map_or_else(|| "null".to_owned(), |value| format!("`{value}`"));
        writeln!(f, "    {}  {} -> {}", example.origin, value(&example.before), value(&example.after))?;
    }
    Ok(())
}

fn show_gold(f: &mut fmt::Formatter<'_>, gold: &GoldReport) -> fmt::Result {
    writeln!(f)?;
    match gold.presence {
        Presence::Old => return writeln!(f, "{}: only the old module keeps it", gold.product),
        Presence::New => return writeln!(f, "{}: only the new module keeps it", gold.product),
        Presence::Both if gold.is_redefined => {
            return writeln!(
                f,
                "{}: keys, windows or measures are others, so that groups cannot be compared",
                gold.product
            );
        }
        Presence::Both if gold.groups == 0 => return writeln!(f, "{}: no group differs", gold.product),
        Presence::Both => {}
    }
    let least = if gold.at_least { "at least " } else { "" };
    let hold = if gold.groups == 1 { "group holds" } else { "groups hold" };
    writeln!(f, "{}: {least}{} {hold} rows that differ", gold.product, grouped(gold.groups))?;
    for group in &gold.examples {
        let keys: Vec<String> =
            group.keys.iter().map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("null"))).collect();
        writeln!(f, "  {}  {}", group.window_start, keys.join(", "))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let table = [(0, "0"), (999, "999"), (1_000, "1,000"), (541_909, "541,909"), (12_345_678, "12,345,678")];
        for (number, text) in table {
            assert_eq!(grouped(number), text);
        }
    }
}
