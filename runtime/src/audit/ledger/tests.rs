//! What the commits table is read as.

use super::*;

fn at(partition: i32) -> SourcePartition {
    SourcePartition::new("orders", 0, partition)
}

fn entry(micro_batch: i64, offsets: &[(i32, i64, i64)]) -> Entry {
    let range = |(partition, from, next): &(i32, i64, i64)| (at(*partition), Range { start: *from, end: *next });
    Entry { micro_batch, offsets: offsets.iter().map(range).collect(), ..Entry::default() }
}

#[test]
fn a_module_apart_from_the_others_has_a_chain_of_its_own() {
    let run = |micro_batch, modules: &[&str], offsets: &[(SourcePartition, Range<i64>)]| Entry {
        micro_batch,
        modules: Arc::new(modules.iter().map(|name| (*name).to_owned()).collect()),
        offsets: offsets.iter().cloned().collect(),
        ..Entry::default()
    };
    let own = at(0).of_reader("retail");
    let ledger = |from| {
        Ledger::of(vec![
            run(1, &["retail", "wholesale"], &[(at(0), 0..10)]),
            // Paused, and resumed: it catches up while the others have nothing to read.
            run(2, &["wholesale"], &[(at(0), 10..30)]),
            run(3, &["retail", "wholesale"], &[(at(0), 30..30), (own.clone(), from..25)]),
            run(4, &["retail", "wholesale"], &[(at(0), 30..40), (own.clone(), 25..40)]),
            run(5, &["retail", "wholesale"], &[(at(0), 40..50)]),
        ])
    };
    let found = ledger(10);
    assert_eq!((found.chains[&at(0)].next, found.chains[&at(0)].faults.len()), (50, 0));
    assert_eq!((found.chains[&own].next, found.chains[&own].faults.len()), (50, 0));
    let ranges = found.entries.iter().flat_map(|entry| entry.ranges_of("retail")).map(|(_, range)| range.clone());
    assert_eq!(ranges.collect::<Vec<_>>(), [0..10, 10..30, 10..25, 25..40, 40..50]);
    assert_eq!(ledger(12).chains[&own].faults, ["no micro-batch accounts for offsets 10 to 11"]);
}

#[test]
fn a_module_that_catches_up_beside_the_others_stands_alone_in_a_row() {
    let run = |micro_batch, module: &str, offsets: &[(SourcePartition, Range<i64>)]| Entry {
        micro_batch,
        modules: Arc::new([module.to_owned()].into()),
        offsets: offsets.iter().cloned().collect(),
        ..Entry::default()
    };
    let own = at(0).of_reader("retail");
    let both = Arc::new(["retail".to_owned(), "wholesale".to_owned()].into());
    let first = Entry { modules: Arc::clone(&both), ..run(1, "", &[(at(0), 0..10)]) };
    let last = Entry { modules: both, ..run(6, "", &[(at(0), 40..60), (own.clone(), 35..60)]) };
    let ledger = Ledger::of(vec![
        first,
        run(2, "wholesale", &[(at(0), 10..30)]),
        run(3, "retail", &[(own.clone(), 10..25)]),
        run(4, "wholesale", &[(at(0), 30..40)]),
        run(5, "retail", &[(own.clone(), 25..35)]),
        last,
    ]);
    for of in [&own, &at(0)] {
        assert_eq!((ledger.chains[of].next, ledger.chains[of].faults.len()), (60, 0), "{of}");
    }
    let ranges = |micro_batch: usize, module| -> Vec<_> {
        ledger.entries[micro_batch - 1].ranges_of(module).map(|(_, range)| (range.start, range.end)).collect()
    };
    assert_eq!((ranges(3, "retail"), ranges(3, "wholesale")), (vec![(10, 25)], vec![]));
    assert_eq!((ranges(6, "retail"), ranges(6, "wholesale")), (vec![(35, 60)], vec![(40, 60)]));
}

#[test]
fn a_module_that_was_rewound_is_read_again_alone() {
    let own = at(0).of_reader("retail");
    let modules = Arc::new(["retail".to_owned(), "wholesale".to_owned()].into());
    let run = |micro_batch, offsets| Entry { modules: Arc::clone(&modules), ..entry(micro_batch, offsets) };
    let offsets = [(own.clone(), Range { start: 20, end: 5 })].into_iter().collect();
    let tables = Arc::new([system::DEAD_LETTERS.to_owned()].into());
    let only = Arc::new(["retail".to_owned()].into());
    let rewound = Entry { is_move: true, micro_batch: 3, offsets, tables, modules: only, ..Entry::default() };
    let mut again = run(4, &[(0, 20, 30)]);
    again.offsets.insert(own.clone(), 5..30);
    let ledger = Ledger::of(vec![run(1, &[(0, 0, 5)]), run(2, &[(0, 5, 20)]), rewound, again]);
    assert_eq!((ledger.chains[&own].next, ledger.chains[&own].faults.len()), (30, 0));
    assert_eq!((ledger.chains[&at(0)].next, ledger.chains[&at(0)].faults.len()), (30, 0));
    assert_eq!(ledger.own_range(2, "retail", &at(0), &(5..20)), 5..5);
    assert_eq!(ledger.own_range(2, "wholesale", &at(0), &(5..20)), 5..20);
    let undone = ledger.entries.iter().filter(|entry| ledger.may_be_undone(entry));
    assert_eq!(undone.map(|entry| entry.micro_batch).collect::<Vec<_>>(), [1, 2]);
    let wholesale = Entry { modules: Arc::new(["wholesale".to_owned()].into()), ..entry(2, &[]) };
    assert!(!ledger.may_be_undone(&wholesale));
}

#[test]
fn a_module_that_came_later_has_a_chain_from_where_it_began() {
    let modules = |names: &[&str]| Arc::new(names.iter().map(|name| (*name).to_owned()).collect());
    let own = at(0).of_reader("retail_v2");
    let before = Entry { modules: modules(&["retail"]), ..entry(1, &[(0, 5, 30)]) };
    let mut first = Entry { modules: modules(&["retail", "retail_v2"]), ..entry(3, &[(0, 50, 50)]) };
    first.offsets.insert(own.clone(), 0..20);
    let mut second = Entry { modules: modules(&["retail", "retail_v2"]), ..entry(4, &[(0, 50, 60)]) };
    second.offsets.insert(own.clone(), 20..60);
    let ledger = Ledger::of(vec![before, moved(2, 30, 50, &[system::DEAD_LETTERS]), first, second]);
    let chain = ledger.chain_of("retail_v2", &at(0)).unwrap();
    assert_eq!((chain.first, chain.next, &chain.faults, &chain.skipped), (0, 60, &Vec::new(), &Vec::new()));
    assert_eq!(ledger.chain_of("retail", &at(0)).unwrap().skipped.first(), Some(&(30..50)));
    assert!(ledger.has_begun("retail_v2", &at(0)) && !ledger.has_begun("retail_v2", &at(1)));
    assert!(!ledger.has_begun("retail_v3", &at(0)));
}

fn moved(micro_batch: i64, from: i64, next: i64, tables: &[&str]) -> Entry {
    let tables = Arc::new(tables.iter().map(|table| (*table).to_owned()).collect());
    Entry { is_move: true, tables, ..entry(micro_batch, &[(0, from, next)]) }
}

#[test]
fn instances_share_numbers_and_not_partitions() {
    let ledger = Ledger::of(vec![
        entry(2, &[(1, 7, 9)]),
        entry(1, &[(0, 0, 5)]),
        entry(1, &[(1, 0, 7)]),
        entry(2, &[(0, 5, 6)]),
        // The second takes the first one's partition over, and goes on counting from what the tables say.
        entry(3, &[(0, 6, 20), (1, 9, 9)]),
    ]);
    let found: Vec<_> = ledger.chains.iter().map(|(p, chain)| (p.partition, chain.next, chain.faults.len())).collect();
    assert_eq!(found, [(0, 20, 0), (1, 9, 0)]);
}

#[test]
fn a_move_of_one_product_is_no_step_of_the_pipeline() {
    let table = "silver/a/b";
    let back = |next| moved(4, 50, next, &[table]);
    let steps = |last: Option<Entry>| {
        let first = [entry(1, &[(0, 0, 10)]), moved(2, 10, 50, &[table]), entry(3, &[(0, 10, 60)])];
        Ledger::of(first.into_iter().chain(last).collect())
    };
    let ledger = steps(None);
    assert_eq!((ledger.chains[&at(0)].next, ledger.chains[&at(0)].faults.len()), (60, 0));
    assert!(ledger.may_lack(table, &at(0), &(0..11)) && !ledger.may_lack(table, &at(0), &(50..60)));
    assert!(!ledger.may_lack("silver/a/c", &at(0), &(0..60)));

    let mut ledger = steps(Some(back(20)));
    assert_eq!(ledger.passed[table][&at(0)].first(), Some(&(10..20)));
    assert!(!ledger.may_lack(table, &at(0), &(20..60)));
    ledger.note_standing(table, &[(at(0), 30)].into_iter().collect());
    assert!(ledger.may_lack(table, &at(0), &(40..60)) && !ledger.may_lack(table, &at(0), &(20..30)));
}

#[test]
fn what_is_read_again_counts_for_the_later_micro_batch() {
    let all = ["silver/a/b", system::DEAD_LETTERS];
    let ledger = Ledger::of(vec![entry(1, &[(0, 0, 100)]), moved(2, 100, 40, &all), entry(3, &[(0, 40, 120)])]);
    assert!(ledger.chains[&at(0)].faults.is_empty());
    assert_eq!(ledger.own_range(1, "retail", &at(0), &(0..100)), 0..40);
    assert_eq!(ledger.own_range(3, "retail", &at(0), &(40..120)), 40..120);
}
