//! Which dead letters somebody means, and by what they are counted.

use super::letter::Letter;
use crate::sink::system::LetterStatus;
use std::collections::BTreeSet;

/// Conditions that a letter must meet, all of them; an empty filter is met by every letter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The letter is about this product, `retail/sales`.
    pub product: Option<String>,
    /// The modules that make that product: a record that they could not decode or rejected is about it, too.
    pub product_modules: BTreeSet<String>,
    /// The reason has this in it, in upper or lower case.
    pub reason: Option<String>,
    /// The module.
    pub module: Option<String>,
    /// The stage: `decode`, `transform`, `product` or `aggregate`.
    pub stage: Option<String>,
    /// The topic.
    pub topic: Option<String>,
    /// The partition.
    pub partition: Option<i32>,
    /// The record's timestamp is not before this, in milliseconds since 1970-01-01T00:00:00Z; a record without one does not meet it.
    pub from_ms: Option<i64>,
    /// The record's timestamp is before this.
    pub to_ms: Option<i64>,
    /// What became of the letter.
    pub status: Option<LetterStatus>,
}

impl Filter {
    /// Whether a letter meets all conditions.
    #[must_use]
    pub fn takes(&self, letter: &Letter) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let within = match (self.from_ms, self.to_ms, letter.timestamp_ms) {
            (None, None, _) => true,
            (_, _, None) => false,
            (from, to, Some(at)) => from.is_none_or(|from| at >= from) && to.is_none_or(|to| at < to),
        };
        let identity = &letter.identity;
        within
            && is(&self.module, &identity.module)
            && is(&self.stage, &letter.stage)
            && is(&self.topic, &identity.origin.partition.topic)
            && self.partition.is_none_or(|partition| partition == identity.origin.partition.partition)
            && self.status.is_none_or(|status| status == letter.status)
            && self.is_about_product(letter)
            && self.reason.as_ref().is_none_or(|part| letter.reason.to_lowercase().contains(&part.to_lowercase()))
    }

    fn is_about_product(&self, letter: &Letter) -> bool {
        let Some(product) = &self.product else { return true };
        match &letter.product {
            Some(found) => found == product,
            None => self.product_modules.contains(&letter.identity.module),
        }
    }
}

/// By what letters are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// By reason.
    Reason,
    /// By module.
    Module,
    /// By the product whose contract or window was missed.
    Product,
}

impl Grouping {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reason => "reason",
            Self::Module => "module",
            Self::Product => "product",
        }
    }

    /// The group of a letter.
    #[must_use]
    pub fn of(self, letter: &Letter) -> &str {
        match self {
            Self::Reason => &letter.reason,
            Self::Module => &letter.identity.module,
            Self::Product => letter.product.as_deref().unwrap_or("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letter;
    use super::*;

    #[track_caller]
    fn check(filter: Filter, takes: bool) {
        assert_eq!(filter.takes(&letter(7, "unit price 0 is not positive")), takes, "{filter:?}");
    }

    #[test]
    fn every_condition_must_be_met() {
        let some = |text: &str| Some(text.to_owned());
        check(Filter::default(), true);
        check(
            Filter { module: some("retail"), stage: some("transform"), topic: some("orders"), ..Filter::default() },
            true,
        );
        check(Filter { module: some("retail"), stage: some("decode"), ..Filter::default() }, false);
        check(Filter { reason: some("Not Positive"), ..Filter::default() }, true);
        check(Filter { reason: some("negative"), ..Filter::default() }, false);
        check(Filter { status: Some(LetterStatus::Discarded), ..Filter::default() }, false);
        check(Filter { partition: Some(3), ..Filter::default() }, true);
        check(Filter { partition: Some(2), ..Filter::default() }, false);
    }

    #[test]
    fn a_record_that_never_became_a_row_is_about_all_products_of_its_module() {
        let about = |product: &str, modules: &[&str]| Filter {
            product: Some(product.to_owned()),
            product_modules: modules.iter().map(|module| (*module).to_owned()).collect(),
            ..Filter::default()
        };
        check(about("retail/sales", &["retail"]), true);
        check(about("retail/sales", &["logistics"]), false);
        let broken = Letter { product: Some("retail/returns".to_owned()), ..letter(7, "the contract") };
        assert!(!about("retail/sales", &["retail"]).takes(&broken));
        assert!(about("retail/returns", &[]).takes(&broken));
    }

    #[test]
    fn a_time_range_ends_before_its_end() {
        let range = |from_ms, to_ms| Filter { from_ms: Some(from_ms), to_ms: Some(to_ms), ..Filter::default() };
        check(range(1_000, 1_001), true);
        check(range(900, 1_000), false);
        let timeless = Letter { timestamp_ms: None, ..letter(7, "x") };
        assert!(!range(0, i64::MAX).takes(&timeless) && Filter::default().takes(&timeless));
    }
}
