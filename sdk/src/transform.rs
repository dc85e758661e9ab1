//! A transform: how the author's function becomes one that takes a chunk.

use crate::columns::{Columns, Cursor, Head, ReadColumn};
use crate::output::{Answer, Outcome, Rows};
use lakeward_manifest as manifest;

/// An event of a topic: `#[derive(Event)]` with `#[event(topic = "..")]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the event of a topic",
    label = "a transform takes a struct that derives `Event` and names its topic",
    note = "`#[derive(Event)] #[event(topic = \"orders\")]` makes a struct the event of a topic"
)]
pub trait Event<'a>: ReadColumn<'a> {
    /// The topic's name.
    const TOPIC: &'static str;
    /// The event's name.
    const NAME: &'static str;
    /// What the event is.
    const DESCRIPTION: &'static str;
    /// The column that says when it happened.
    const EVENT_TIME: Option<&'static str>;
}

/// A function that turns an event into rows: `#[transform]`.
pub trait Transform {
    /// The function's name.
    const NAME: &'static str;

    /// The transform in the manifest.
    fn describe() -> Described;

    /// The names of the products that it may write.
    fn products(names: &mut Vec<&'static str>);

    /// Transforms a chunk of events.
    ///
    /// # Errors
    /// When the columns are not those that the manifest declares.
    fn run(events: Columns<'_>) -> Result<Outcome, String>;
}

/// A transform as the manifest shows it.
#[derive(Debug)]
pub struct Described {
    /// What it reads.
    pub input: manifest::Input,
    /// What it writes.
    pub products: Vec<manifest::Product>,
}

/// Describes the transform `name` by its function's type.
pub fn describe<'a, E: Event<'a>, A: Answer>(_: impl Fn(E) -> A, name: &str) -> Described {
    let mut products = Vec::new();
    A::Rows::products(&mut products);
    let manifest::DataType::Struct(columns) = E::data_type() else {
        unreachable!("the derive describes an event as a struct")
    };
    let input = manifest::Input {
        topic: E::TOPIC.to_owned(),
        name: E::NAME.to_owned(),
        transform: name.to_owned(),
        description: E::DESCRIPTION.to_owned(),
        columns,
        event_time: E::EVENT_TIME.map(str::to_owned),
        products: products.iter().map(|product| product.name.clone()).collect(),
    };
    Described { input, products }
}

/// The names of the products that a transform may write, by its function's type.
pub fn products<E, A: Answer>(_: impl Fn(E) -> A, names: &mut Vec<&'static str>) {
    A::Rows::names(names);
}

/// Runs `transform` over every event of a chunk.
///
/// # Errors
/// When the columns are not those of the event.
pub fn run<'a, E: Event<'a>, A: Answer>(transform: impl Fn(E) -> A, events: Columns<'a>) -> Result<Outcome, String> {
    let columns = E::open(&mut Cursor::new(events), Head::of_rows(events.rows)).map_err(|error| error.0.to_owned())?;
    let mut tables = A::Rows::tables(events.rows);
    let mut outcome = Outcome::default();
    for row in 0..events.rows {
        match transform(E::get(&columns, row)).into_rows() {
            Ok(rows) => rows.write(row as u32, &mut tables),
            Err(reject) => outcome.rejects.push((row as u32, reject)),
        }
    }
    A::Rows::finish(tables, &mut outcome.outputs);
    Ok(outcome)
}
