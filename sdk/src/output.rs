//! What a transform may return: rows of one product or of several, and rejects.

use crate::Reject;
use crate::columns::{OwnedColumns, WriteColumn};
use lakeward_manifest as manifest;

/// A row of a data product: `#[derive(Product)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a data product",
    label = "not a struct that derives `Product`",
    note = "`#[derive(Product)]` makes a struct the row of a data product"
)]
pub trait Product: WriteColumn {
    /// The product's name.
    const NAME: &'static str;

    /// The product in the manifest.
    fn describe() -> manifest::Product;

    /// The column in which a field stands.
    fn column(field: &'static str) -> &'static str;

    /// Hands all columns over, without a node of their own.
    fn finish_rows(builder: Self::Builder, columns: &mut OwnedColumns);
}

/// Rows that one event became: a product's row, an `Option` or `Vec` of rows, or a tuple of these.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not something that a transform can return",
    label = "not rows of a data product",
    note = "a transform returns `Row`, `Option<Row>`, `Vec<Row>`, a tuple of these, or `Result<.., Reject>` of any of these, where `Row` derives `Product`"
)]
pub trait Rows: Sized {
    /// The tables that are being filled.
    type Tables;

    /// The products.
    fn products(products: &mut Vec<manifest::Product>);

    /// The products' names, which cost no allocation.
    fn names(names: &mut Vec<&'static str>);

    /// Empty tables with room for `rows` rows.
    fn tables(rows: usize) -> Self::Tables;

    /// Appends the rows that the event `origin` became.
    fn write(self, origin: u32, tables: &mut Self::Tables);

    /// Hands the filled tables over.
    fn finish(tables: Self::Tables, outputs: &mut Vec<Output>);
}

/// The rows of one product that a chunk became.
#[derive(Debug)]
pub struct Output {
    /// The product's name.
    pub product: &'static str,
    /// The event that each row came from, never decreasing.
    pub origins: Vec<u32>,
    /// The rows.
    pub rows: OwnedColumns,
}

/// What a chunk became.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Rows, by product.
    pub outputs: Vec<Output>,
    /// Events that could not become rows, and why.
    pub rejects: Vec<(u32, Reject)>,
}

/// The rows of one product and where they came from, while they are filled.
#[derive(Debug)]
pub struct Table<B> {
    origins: Vec<u32>,
    builder: B,
}

impl<P: Product> Rows for P {
    type Tables = Table<P::Builder>;

    fn products(products: &mut Vec<manifest::Product>) {
        products.push(P::describe());
    }

    fn names(names: &mut Vec<&'static str>) {
        names.push(P::NAME);
    }

    fn tables(rows: usize) -> Self::Tables {
        Table { origins: Vec::with_capacity(rows), builder: P::builder(rows) }
    }

    #[inline]
    fn write(self, origin: u32, table: &mut Self::Tables) {
        table.origins.push(origin);
        self.write_to(&mut table.builder);
    }

    fn finish(table: Self::Tables, outputs: &mut Vec<Output>) {
        let mut rows = OwnedColumns { rows: table.origins.len(), ..OwnedColumns::default() };
        P::finish_rows(table.builder, &mut rows);
        outputs.push(Output { product: P::NAME, origins: table.origins, rows });
    }
}

macro_rules! several {
    ($($container:ident),*) => {$(
        impl<R: Rows> Rows for $container<R> {
            type Tables = R::Tables;

            fn products(products: &mut Vec<manifest::Product>) {
                R::products(products);
            }

            fn names(names: &mut Vec<&'static str>) {
                R::names(names);
            }

            fn tables(rows: usize) -> Self::Tables {
                R::tables(rows)
            }

            #[inline]
            fn write(self, origin: u32, tables: &mut Self::Tables) {
                self.into_iter().for_each(|rows| rows.write(origin, tables));
            }

            fn finish(tables: Self::Tables, outputs: &mut Vec<Output>) {
                R::finish(tables, outputs);
            }
        }
    )*};
}

several!(Option, Vec);

macro_rules! together {
    ($($rows:ident $index:tt),*) => {
        impl<$($rows: Rows),*> Rows for ($($rows,)*) {
            type Tables = ($($rows::Tables,)*);

            fn products(products: &mut Vec<manifest::Product>) {
                $($rows::products(products);)*
            }

            fn names(names: &mut Vec<&'static str>) {
                $($rows::names(names);)*
            }

            fn tables(rows: usize) -> Self::Tables {
                ($($rows::tables(rows),)*)
            }

            #[inline]
            fn write(self, origin: u32, tables: &mut Self::Tables) {
                $(self.$index.write(origin, &mut tables.$index);)*
            }

            fn finish(tables: Self::Tables, outputs: &mut Vec<Output>) {
                $($rows::finish(tables.$index, outputs);)*
            }
        }
    };
}

together!(A 0, B 1);
together!(A 0, B 1, C 2);
together!(A 0, B 1, C 2, D 3);
together!(A 0, B 1, C 2, D 3, E 4);
together!(A 0, B 1, C 2, D 3, E 4, F 5);

/// The whole answer of a transform: rows, or a `Result` of rows.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not something that a transform can return",
    label = "not rows of a data product",
    note = "a transform returns `Row`, `Option<Row>`, `Vec<Row>`, a tuple of these, or `Result<.., Reject>` of any of these, where `Row` derives `Product`"
)]
pub trait Answer {
    /// The rows.
    type Rows: Rows;

    /// The rows, or why there are none.
    ///
    /// # Errors
    /// The reject.
    fn into_rows(self) -> Result<Self::Rows, Reject>;
}

impl<R: Rows> Answer for R {
    type Rows = R;

    #[inline]
    fn into_rows(self) -> Result<R, Reject> {
        Ok(self)
    }
}

impl<R: Rows> Answer for Result<R, Reject> {
    type Rows = R;

    #[inline]
    fn into_rows(self) -> Self {
        self
    }
}
