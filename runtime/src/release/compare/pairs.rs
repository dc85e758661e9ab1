//! What of two manifests belongs together: products, columns and gold products, by name.

use super::Error;
use super::report::Presence;
use crate::columns::table_type;
use arrow_row::{RowConverter, SortField};
use lakeward_manifest::{Column, Gold, Manifest, Product};

/// What is compared with what.
#[derive(Debug)]
pub(super) struct Pairs {
    pub(super) products: Vec<ProductPair>,
    pub(super) golds: Vec<GoldPair>,
    /// Whether one of the modules masks columns.
    pub(super) is_masked: bool,
}

/// A product of one of the modules, or of both.
#[derive(Debug)]
pub(super) struct ProductPair {
    /// The product's path, `retail/sales`.
    pub(super) path: String,
    /// Its index in the old manifest.
    pub(super) old: Option<usize>,
    /// Its index in the new manifest.
    pub(super) new: Option<usize>,
    /// The columns that both have.
    pub(super) columns: Vec<ColumnPair>,
    /// The columns that one has.
    pub(super) lonely: Vec<(String, Presence)>,
    /// The columns of the product as the old module has it, and whether their values may be shown.
    pub(super) old_names: Vec<(String, bool)>,
    /// The same of the new module.
    pub(super) new_names: Vec<(String, bool)>,
}

/// A column that both modules write.
#[derive(Debug)]
pub(super) struct ColumnPair {
    pub(super) name: String,
    /// Its index in the old product.
    pub(super) old: usize,
    /// Its index in the new product.
    pub(super) new: usize,
    /// Both types, where they differ.
    pub(super) types: Option<(String, String)>,
    /// Writes values as bytes that are equal where the values are.
    pub(super) converter: RowConverter,
}

/// A gold product of one of the modules, or of both.
#[derive(Debug)]
pub(super) struct GoldPair {
    pub(super) path: String,
    pub(super) presence: Presence,
    /// How to find a row's group, where both modules mean the same by it.
    pub(super) grouping: Option<Grouping>,
}

/// How rows of a product fall into groups, in both modules.
#[derive(Debug)]
pub(super) struct Grouping {
    /// The product's path.
    pub(super) product: String,
    /// Per key: its name, its column's index in the old and in the new product, and whether its values may be shown.
    pub(super) keys: Vec<(String, usize, usize, bool)>,
    /// The index of the time column in the old and in the new product.
    pub(super) time: (usize, usize),
    /// The windows' width, in microseconds.
    pub(super) width_us: i64,
    /// The columns that decide what a row does to its group: keys, time and what is measured.
    pub(super) reads: Vec<String>,
    /// Writes the keys of a group as bytes.
    pub(super) encoder: RowConverter,
}

impl Pairs {
    pub(super) fn new(old: &Manifest, new: &Manifest) -> Result<Self, Error> {
        let mut products = Vec::new();
        for (index, product) in old.products.iter().enumerate() {
            let other = new.products.iter().position(|other| other.name == product.name);
            let pair = (Some((index, product)), other.map(|other| (other, &new.products[other])));
            products.push(ProductPair::new(format!("{}/{}", old.owner, product.name), pair.0, pair.1)?);
        }
        for (index, product) in new.products.iter().enumerate() {
            if !old.products.iter().any(|other| other.name == product.name) {
                products.push(ProductPair::new(
                    format!("{}/{}", new.owner, product.name),
                    None,
                    Some((index, product)),
                )?);
            }
        }
        if !products.iter().any(|pair| pair.old.is_some() && pair.new.is_some()) {
            let names = |manifest: &Manifest| {
                manifest.products.iter().map(|product| product.name.as_str()).collect::<Vec<_>>().join(", ")
            };
            return Err(Error::NothingInCommon { old: names(old), new: names(new) });
        }
        let golds = golds(old, new)?;
        Ok(Self { products, golds, is_masked: old.is_masked() || new.is_masked() })
    }
}

impl ProductPair {
    fn new(path: String, old: Option<(usize, &Product)>, new: Option<(usize, &Product)>) -> Result<Self, Error> {
        let columns_of =
            |side: Option<(usize, &Product)>| side.map(|(_, product)| product.columns.clone()).unwrap_or_default();
        let (before, after) = (columns_of(old), columns_of(new));
        let mut columns = Vec::new();
        let mut lonely = Vec::new();
        for (index, column) in before.iter().enumerate() {
            match after.iter().position(|other| other.name == column.name) {
                Some(other) => columns.push(ColumnPair::new(&path, (index, column), (other, &after[other]))?),
                None if new.is_some() => lonely.push((column.name.clone(), Presence::Old)),
                None => {}
            }
        }
        let is_new = |column: &&Column| old.is_some() && !before.iter().any(|other| other.name == column.name);
        lonely.extend(after.iter().filter(is_new).map(|column| (column.name.clone(), Presence::New)));
        Ok(Self {
            old: old.map(|(index, _)| index),
            new: new.map(|(index, _)| index),
            columns,
            lonely,
            old_names: before.iter().map(|column| (column.name.clone(), may_show(column, &after))).collect(),
            new_names: after.iter().map(|column| (column.name.clone(), may_show(column, &before))).collect(),
            path,
        })
    }

    pub(super) fn presence(&self) -> Presence {
        match (self.old, self.new) {
            (Some(_), None) => Presence::Old,
            (None, _) => Presence::New,
            _ => Presence::Both,
        }
    }
}

/// A value that the other module hides is not for a report either.
fn may_show(column: &Column, others: &[Column]) -> bool {
    let other = others.iter().find(|other| other.name == column.name);
    column.mask.is_some() || other.is_none_or(|other| other.mask.is_none())
}

impl ColumnPair {
    fn new(path: &str, old: (usize, &Column), new: (usize, &Column)) -> Result<Self, Error> {
        let (was, is) = (table_type(&old.1.data_type), table_type(&new.1.data_type));
        let types = (was != is).then(|| (old.1.data_type.to_string(), new.1.data_type.to_string()));
        let converter = RowConverter::new(vec![SortField::new(was)]).map_err(|error| Error::Column {
            product: path.to_owned(),
            column: old.1.name.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self { name: old.1.name.clone(), old: old.0, new: new.0, types, converter })
    }
}

fn golds(old: &Manifest, new: &Manifest) -> Result<Vec<GoldPair>, Error> {
    let mut golds = Vec::new();
    for gold in &old.gold {
        let path = format!("{}/{}", old.owner, gold.name);
        golds.push(match new.gold.iter().find(|other| other.name == gold.name) {
            Some(other) => {
                let grouping = Grouping::new(&path, (old, gold), (new, other))?;
                GoldPair { path, presence: Presence::Both, grouping }
            }
            None => GoldPair { path, presence: Presence::Old, grouping: None },
        });
    }
    for gold in new.gold.iter().filter(|gold| !old.gold.iter().any(|other| other.name == gold.name)) {
        let path = format!("{}/{}", new.owner, gold.name);
        golds.push(GoldPair { path, presence: Presence::New, grouping: None });
    }
    Ok(golds)
}

impl Grouping {
    /// `None` where the modules do not mean the same by a group, or a column is not there.
    fn new(path: &str, old: (&Manifest, &Gold), new: (&Manifest, &Gold)) -> Result<Option<Self>, Error> {
        let product = |(manifest, gold): (&Manifest, &Gold)| {
            manifest.products.iter().find(|product| product.name == gold.from).cloned()
        };
        let (Some(before), Some(after)) = (product(old), product(new)) else { return Ok(None) };
        let (was, is) = (old.1, new.1);
        let keys = |gold: &Gold| gold.keys.iter().map(|key| (key.name.clone(), key.column.clone())).collect::<Vec<_>>();
        let measures = |gold: &Gold| {
            gold.measures
                .iter()
                .map(|measure| (measure.name.clone(), measure.function, measure.column.clone()))
                .collect::<Vec<_>>()
        };
        if was.from != is.from
            || was.time != is.time
            || was.window != is.window
            || keys(was) != keys(is)
            || measures(was) != measures(is)
        {
            return Ok(None);
        }
        let find = |product: &Product, name: &str| product.columns.iter().position(|column| column.name == name);
        let both = |name: &str| find(&before, name).zip(find(&after, name));
        let mut found = Vec::new();
        let mut fields = Vec::new();
        for key in &was.keys {
            let Some((left, right)) = both(&key.column) else { return Ok(None) };
            let (one, other) = (&before.columns[left], &after.columns[right]);
            if table_type(&one.data_type) != table_type(&other.data_type) {
                return Ok(None);
            }
            fields.push(SortField::new(table_type(&one.data_type)));
            found.push((key.name.clone(), left, right, one.mask.is_some() == other.mask.is_some()));
        }
        let Some(time) = both(&was.time) else { return Ok(None) };
        let encoder = RowConverter::new(fields).map_err(|error| Error::Column {
            product: path.to_owned(),
            column: "(keys)".to_owned(),
            reason: error.to_string(),
        })?;
        let measured = was.measures.iter().filter_map(|measure| measure.column.clone());
        let mut reads: Vec<String> = was.keys.iter().map(|key| key.column.clone()).chain(measured).collect();
        reads.push(was.time.clone());
        Ok(Some(Self {
            product: format!("{}/{}", old.0.owner, was.from),
            keys: found,
            time,
            width_us: i64::try_from(was.window.width_ms()).unwrap_or(i64::MAX).saturating_mul(1_000).max(1),
            reads,
            encoder,
        }))
    }
}
