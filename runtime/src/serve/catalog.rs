//! The data products that this pipeline makes, as `/v1/products` lists them.

use super::{Status, Time};
use lakeward_manifest::{
    Column, DataType, Expectation, Function, Gold, Layer, Manifest, Mask, PartitionBy, Window,
};
use serde::Serialize;

/// Every data product of the pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Catalog {
    /// The products, in the order of the modules that make them.
    pub products: Vec<Product>,
}

/// A data product: who owns it, what its rows are, where its table is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Product {
    /// The domain that owns it.
    pub domain: String,
    /// Its name within the domain.
    pub name: String,
    /// The layer.
    pub layer: Layer,
    /// What a row is.
    pub description: String,
    /// The team that answers for it.
    pub owner: String,
    /// The module that makes it.
    pub module: Module,
    /// The columns, in order.
    pub columns: Vec<ProductColumn>,
    /// The table's address.
    pub location: String,
    /// How the table's files are laid out.
    pub partition_by: Vec<PartitionBy>,
    /// Rules that every row meets.
    pub expectations: Vec<Expectation>,
    /// How the rows are aggregated; gold products only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gold: Option<Aggregation>,
    /// How fresh the table is; `None` before its first commit.
    pub freshness: Option<Freshness>,
}

/// The module that makes a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Module {
    /// The module's name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A column of a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProductColumn {
    /// The column's name.
    pub name: String,
    /// The type, as the module declares it.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Whether a value may be absent.
    pub nullable: bool,
    /// What the column means.
    pub description: String,
    /// How the column is hidden from readers.
    pub mask: Option<Mask>,
}

/// How a gold product comes about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Aggregation {
    /// The path of the product that is aggregated.
    pub from: String,
    /// The column of that product that places a row in its window.
    pub time: String,
    /// The windows.
    pub window: Window,
    /// How long after a window's end, in event time, its rows are still taken, in milliseconds.
    pub lateness_ms: u64,
    /// The grouping columns.
    pub keys: Vec<String>,
    /// The aggregated columns.
    pub measures: Vec<Measure>,
}

/// An aggregated column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Measure {
    /// The column's name.
    pub name: String,
    /// How values become one.
    pub function: Function,
    /// The column that is aggregated; none for a count of rows.
    pub column: Option<String>,
}

/// How fresh a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Freshness {
    /// The micro-batch that the table holds.
    pub micro_batch: Option<i64>,
    /// When it was committed.
    pub committed_at: Option<Time>,
    /// The table's newest version.
    pub table_version: i64,
}

impl Catalog {
    /// Adds the products of a module. `location` is the address of the table of a layer and a path.
    pub fn add_module(&mut self, manifest: &Manifest, location: impl Fn(Layer, &str) -> String) {
        let domain = &manifest.owner;
        let module = Module { name: manifest.name.clone(), version: manifest.version.clone() };
        for product in &manifest.products {
            self.products.push(Product {
                domain: domain.clone(),
                name: product.name.clone(),
                layer: product.layer,
                description: product.description.clone(),
                owner: domain.clone(),
                module: module.clone(),
                columns: product.columns.iter().map(ProductColumn::of).collect(),
                location: location(product.layer, &format!("{domain}/{}", product.name)),
                partition_by: product.partition_by.clone(),
                expectations: product.expectations.clone(),
                gold: None,
                freshness: None,
            });
        }
        for gold in &manifest.gold {
            self.products.push(Product {
                domain: domain.clone(),
                name: gold.name.clone(),
                layer: Layer::Gold,
                description: gold.description.clone(),
                owner: domain.clone(),
                module: module.clone(),
                columns: gold_columns(manifest, gold),
                location: location(Layer::Gold, &format!("{domain}/{}", gold.name)),
                partition_by: vec![PartitionBy { column: "window_start".to_owned(), by: gold.partition_by }],
                expectations: Vec::new(),
                gold: Some(Aggregation::of(domain, gold)),
                freshness: None,
            });
        }
    }

    /// The product `domain/name`.
    #[must_use]
    pub fn product(&self, domain: &str, name: &str) -> Option<&Product> {
        self.products.iter().find(|product| product.domain == domain && product.name == name)
    }
}

impl Product {
    /// The product's path: `domain/name`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.domain, self.name)
    }

    /// The product as of `status`.
    #[must_use]
    pub fn as_of(&self, status: &Status) -> Self {
        let freshness = status.product(&self.path()).and_then(|table| {
            let table_version = table.table_version?;
            Some(Freshness { micro_batch: table.micro_batch, committed_at: table.committed_at, table_version })
        });
        Self { freshness, ..self.clone() }
    }
}

impl ProductColumn {
    fn of(column: &Column) -> Self {
        Self {
            name: column.name.clone(),
            data_type: column.data_type.to_string(),
            nullable: column.nullable,
            description: column.description.clone(),
            mask: column.mask,
        }
    }

    fn new(name: &str, data_type: &DataType, nullable: bool, description: &str) -> Self {
        Self {
            name: name.to_owned(),
            data_type: data_type.to_string(),
            nullable,
            description: description.to_owned(),
            mask: None,
        }
    }
}

impl Aggregation {
    fn of(domain: &str, gold: &Gold) -> Self {
        Self {
            from: format!("{domain}/{}", gold.from),
            time: gold.time.clone(),
            window: gold.window,
            lateness_ms: gold.lateness_ms,
            keys: gold.keys.iter().map(|key| key.name.clone()).collect(),
            measures: gold
                .measures
                .iter()
                .map(|measure| Measure {
                    name: measure.name.clone(),
                    function: measure.function,
                    column: measure.column.clone(),
                })
                .collect(),
        }
    }
}

/// The keys, the window, the measures: the order of the table.
fn gold_columns(manifest: &Manifest, gold: &Gold) -> Vec<ProductColumn> {
    let source = manifest.products.iter().find(|product| product.name == gold.from);
    let source_column =
        |name: &str| source.and_then(|product| product.columns.iter().find(|column| column.name == name));
    let keys = gold.keys.iter().filter_map(|key| {
        let column = ProductColumn::of(source_column(&key.column)?);
        let description = if key.description.is_empty() { column.description } else { key.description.clone() };
        Some(ProductColumn { name: key.name.clone(), description, ..column })
    });
    let windows = [
        ProductColumn::new("window_start", &DataType::Timestamp, false, "The window's first moment."),
        ProductColumn::new("window_end", &DataType::Timestamp, false, "The moment at which the next window starts."),
    ];
    let measures = gold.measures.iter().map(|measure| {
        let counts = matches!(measure.function, Function::Count | Function::Distinct | Function::DistinctSketch);
        ProductColumn::new(&measure.name, &measure.data_type, !counts, &measure.description)
    });
    keys.chain(windows).chain(measures).collect()
}
