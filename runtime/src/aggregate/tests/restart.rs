//! Whatever the chunks, the partitions and the restarts, the numbers are the same.

use super::super::PartitionState;
use super::model::expected;
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const PARTITIONS: i32 = 3;

/// What happens to a pipeline.
#[derive(Debug, Clone)]
enum Step {
    /// Rows of one partition arrive as one chunk.
    Chunk(i32, Vec<Sale>),
    /// The workers publish.
    Live,
    /// A micro-batch commits what changed, or the whole state.
    Commit { whole: bool },
    /// The process commits, ends and starts again.
    Restart,
}

/// A pipeline with its state table.
struct Pipeline {
    plan: Arc<Plan>,
    states: Vec<PartitionState>,
    table: Vec<RecordBatch>,
    view: View,
    next_offset: i64,
    micro_batch: i64,
}

impl Pipeline {
    fn new() -> Self {
        let plan = plan();
        let states = (0..PARTITIONS).map(|partition| PartitionState::new(Arc::clone(&plan), partition)).collect();
        let view = View::new(Arc::clone(&plan));
        Self { plan, states, table: Vec::new(), view, next_offset: 0, micro_batch: 0 }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Chunk(partition, rows) => {
                self.next_offset += rows.len() as i64;
                let late = self.states[*partition as usize].update(&batch(rows), i64::MIN);
                assert!(late.len() <= rows.len());
            }
            Step::Live => {
                for state in &mut self.states {
                    self.view.apply_live(&state.take_live(self.next_offset));
                }
            }
            Step::Commit { whole } => self.commit(*whole),
            Step::Restart => {
                self.commit(false);
                self.restart();
            }
        }
    }

    fn commit(&mut self, whole: bool) {
        if whole {
            self.table.clear();
        }
        self.micro_batch += 1;
        let next_offset = self.next_offset;
        let take = |state: &mut PartitionState| if whole { state.take_all(next_offset) } else { state.take_commit(next_offset) };
        let changes: Vec<_> = self.states.iter_mut().map(take).collect();
        for changes in &changes {
            self.table.push(changes.state_rows(&self.plan, self.micro_batch).unwrap());
        }
        self.view.apply_committed(self.micro_batch, &changes);
    }

    fn restart(&mut self) {
        let next = Self::new();
        self.states = next.states;
        self.view = next.view;
        // The latest rows first: the order of the files in a table says nothing.
        for rows in self.table.iter().rev().filter(|rows| rows.num_rows() > 0) {
            let partition = rows.column(0).as_primitive::<arrow_array::types::Int32Type>().value(0);
            self.states[partition as usize].restore(rows).unwrap();
        }
        let next_offset = self.next_offset;
        let changes: Vec<_> = self.states.iter_mut().map(|state| state.take_all(next_offset)).collect();
        self.view.apply_committed(self.micro_batch, &changes);
    }
}

fn sales_rows() -> impl Strategy<Value = Vec<Sale>> {
    let sale = (
        prop::option::weighted(0.9, "[A-C]"),
        prop::option::weighted(0.9, 0..60_u8),
        prop::option::weighted(0.9, -5..5_i64),
        prop::option::weighted(0.9, -100_000..100_000_i128),
        -1.0..1.0_f64,
        -40 * MINUTE_US..40 * MINUTE_US,
    )
        .prop_map(|(country, customer, quantity, total, ratio, sold_us)| Sale {
            country,
            customer: customer.map(|customer| format!("c{customer}")),
            quantity,
            total,
            ratio,
            sold_us,
        });
    prop::collection::vec(sale, 0..60)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..PARTITIONS, sales_rows()).prop_map(|(partition, rows)| Step::Chunk(partition, rows)),
        2 => Just(Step::Live),
        2 => any::<bool>().prop_map(|whole| Step::Commit { whole }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn chunks_and_restarts_leave_no_trace_in_the_answers(steps in steps()) {
        let (mut stopping, mut steady) = (Pipeline::new(), Pipeline::new());
        let mut rows: Vec<(i32, Sale)> = Vec::new();
        let mut by_partition: BTreeMap<i32, Vec<Sale>> = BTreeMap::new();
        for step in &steps {
            stopping.step(step);
            if let Step::Chunk(partition, chunk) = step {
                rows.extend(chunk.iter().map(|sale| (*partition, sale.clone())));
                by_partition.entry(*partition).or_default().extend(chunk.iter().cloned());
            }
        }
        for (partition, rows) in by_partition {
            steady.step(&Step::Chunk(partition, rows));
        }
        for pipeline in [&mut stopping, &mut steady] {
            pipeline.step(&Step::Live);
            pipeline.step(&Step::Commit { whole: false });
        }
        let live = all(&stopping.view, false);
        prop_assert_eq!(&live.rows, &all(&stopping.view, true).rows);
        prop_assert_eq!(&live.rows, &all(&steady.view, false).rows);
        let exact: Vec<_> = (0..10).collect();
        prop_assert_eq!(live.rows.project(&exact).unwrap(), expected(&rows));
        for (stopping, steady) in stopping.states.iter().zip(&steady.states) {
            prop_assert_eq!(stopping.watermark_ms(), steady.watermark_ms());
            prop_assert_eq!(stopping.groups(), steady.groups());
        }
    }
}

#[test]
fn of_a_group_that_stands_twice_the_latest_micro_batch_wins_in_whatever_order() {
    let mut state = PartitionState::new(plan(), 0);
    assert!(state.update(&batch(&[sale("FR", 1, 100)]), i64::MIN).is_empty());
    let first = state.take_commit(1).state_rows(&plan(), 1).unwrap();
    assert!(state.update(&batch(&[sale("FR", 2, 100)]), i64::MIN).is_empty());
    let second = state.take_commit(2).state_rows(&plan(), 2).unwrap();
    for order in [[&first, &second], [&second, &first]] {
        let mut restored = PartitionState::new(plan(), 0);
        order.into_iter().for_each(|rows| restored.restore(rows).unwrap());
        let view = View::new(plan());
        view.apply_live(&restored.take_live(2));
        assert_eq!(pairs(&all(&view, false).rows, "country", "lines"), [("FR".to_owned(), 2)]);
        assert!(restored.take_commit(2).is_empty(), "what was restored is in the table already");
        assert_eq!(restored.watermark_ms(), 2 * MINUTE_MS);
    }
}

#[test]
fn state_of_another_plan_or_partition_is_refused() {
    let mut state = PartitionState::new(plan(), 0);
    assert!(state.update(&batch(&[sale("FR", 1, 100)]), i64::MIN).is_empty());
    let rows = state.take_commit(1).state_rows(&plan(), 1).unwrap();
    let foreign = PartitionState::new(plan(), 7).restore(&rows).unwrap_err();
    assert_eq!(foreign.to_string(), "state of partition 0 was given to partition 7");
    let mut other = by_country();
    other.measures.swap(0, 1);
    let other = Plan::new("retail", &other, &sales()).unwrap();
    let refused = PartitionState::new(other, 0).restore(&rows).unwrap_err();
    assert_eq!(refused.to_string(), "column revenue_sum of the state is not as this version of the product keeps it");
}
