//! What the aggregates should be, computed the slow way.

use super::*;
use arrow_array::ArrayRef;
use std::collections::{BTreeMap, BTreeSet};

const WIDTH_US: i64 = 10 * MINUTE_US;
const LATENESS_US: i64 = 5 * MINUTE_US;

/// The rows of one group, by Kafka partition.
type Group = BTreeMap<i32, Vec<Sale>>;

/// The gold rows without the sketch, newest window first, of sales in the order in which each partition holds them.
pub(super) fn expected(rows: &[(i32, Sale)]) -> RecordBatch {
    let mut watermarks: BTreeMap<i32, i64> = BTreeMap::new();
    let mut groups: BTreeMap<(std::cmp::Reverse<i64>, Option<String>), Group> = BTreeMap::new();
    for (partition, sale) in rows {
        let start = sale.sold_us.div_euclid(WIDTH_US) * WIDTH_US;
        let watermark = watermarks.entry(*partition).or_insert(i64::MIN);
        if start + WIDTH_US + LATENESS_US <= *watermark {
            continue;
        }
        *watermark = (*watermark).max(sale.sold_us);
        let group = groups.entry((std::cmp::Reverse(start), sale.country.clone())).or_default();
        group.entry(*partition).or_default().push(sale.clone());
    }
    let starts = || groups.keys().map(|(start, _)| start.0);
    let schema = plan().gold_schema().project(&(0..10).collect::<Vec<_>>()).unwrap();
    let sums: Vec<_> = groups.values().map(sum).collect();
    let time = arrow_type(&DataType::Timestamp);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(groups.keys().map(|(_, country)| country.as_deref()).collect::<StringArray>()),
        Arc::new(TimestampMicrosecondArray::from_iter_values(starts()).with_data_type(time.clone())),
        Arc::new(TimestampMicrosecondArray::from_iter_values(starts().map(|us| us + WIDTH_US)).with_data_type(time)),
        Arc::new(groups.values().map(|group| Some(each(group).count() as i64)).collect::<Int64Array>()),
        Arc::new(decimals(sums.iter().map(|sum| sum.map(|(sum, _)| sum)), schema.field(4).data_type())),
        Arc::new(groups.values().map(|group| each(group).filter_map(|sale| sale.quantity).min()).collect::<Int64Array>()),
        Arc::new(groups.values().map(|group| each(group).filter_map(|sale| sale.customer.as_deref()).max()).collect::<StringArray>()),
        Arc::new(decimals(sums.iter().map(|sum| sum.map(mean)), schema.field(7).data_type())),
        Arc::new(groups.values().map(ratio).map(Some).collect::<Float64Array>()),
        Arc::new(groups.values().map(|group| Some(customers(group))).collect::<Int64Array>()),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn each(group: &Group) -> impl Iterator<Item = &Sale> {
    group.values().flatten()
}

fn sum(group: &Group) -> Option<(i128, i128)> {
    let totals: Vec<_> = each(group).filter_map(|sale| sale.total).collect();
    (!totals.is_empty()).then(|| (totals.iter().sum(), totals.len() as i128))
}

/// The mean of hundredths in ten-thousandths, half to even.
fn mean((sum, count): (i128, i128)) -> i128 {
    let (low, rest) = ((sum * 100).div_euclid(count), (sum * 100).rem_euclid(count));
    match (rest * 2).cmp(&count) {
        std::cmp::Ordering::Less => low,
        std::cmp::Ordering::Greater => low + 1,
        std::cmp::Ordering::Equal => low + low.rem_euclid(2),
    }
}

/// The mean of floats: added in row order within a partition, then in partition order.
fn ratio(group: &Group) -> f64 {
    let sums: Vec<f64> =
        group.values().map(|rows| rows.iter().map(|sale| sale.ratio).reduce(|sum, ratio| sum + ratio).unwrap()).collect();
    sums.into_iter().reduce(|sum, other| sum + other).unwrap() / each(group).count() as f64
}

fn customers(group: &Group) -> i64 {
    each(group).filter_map(|sale| sale.customer.as_deref()).collect::<BTreeSet<_>>().len() as i64
}

fn decimals(values: impl Iterator<Item = Option<i128>>, data_type: &arrow_schema::DataType) -> Decimal128Array {
    values.collect::<Decimal128Array>().with_data_type(data_type.clone())
}
