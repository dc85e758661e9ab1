//! A module: transforms and gold under one name, its manifest, and the way from an input's number to its transform.

use crate::columns::Columns;
use crate::output::Outcome;
use crate::transform::{Described, Transform};
use lakeward_manifest as manifest;

/// An aggregate that the host keeps over a product: `#[derive(Gold)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a gold product",
    label = "not a struct that derives `Gold`",
    note = "`#[derive(Gold)] #[gold(from = Sale, time = sold_at, window = \"tumbling 1h\")]` makes a struct a gold product"
)]
pub trait Gold {
    /// The aggregate in the manifest.
    fn describe() -> manifest::Gold;
}

/// What `module!` declares.
#[derive(Debug)]
pub struct Module {
    /// The module's name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The domain that owns it.
    pub owner: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// Its transforms; the host calls them by their place in this list.
    pub transforms: &'static [Entry],
    /// Its aggregates.
    pub gold: &'static [fn() -> manifest::Gold],
}

/// A transform in a module's list.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub(crate) describe: fn() -> Described,
    products: fn(&mut Vec<&'static str>),
    pub(crate) run: fn(Columns<'_>) -> Result<Outcome, String>,
}

impl Entry {
    /// The entry of a transform.
    #[must_use]
    pub const fn of<T: Transform>() -> Self {
        Self { describe: T::describe, products: T::products, run: T::run }
    }
}

impl Module {
    /// What the module says about itself.
    ///
    /// # Panics
    /// When two structs declare one product differently.
    #[must_use]
    pub fn manifest(&self) -> manifest::Manifest {
        let mut inputs = Vec::new();
        let mut products: Vec<manifest::Product> = Vec::new();
        for entry in self.transforms {
            let described = (entry.describe)();
            for product in described.products {
                match products.iter().find(|known| known.name == product.name) {
                    None => products.push(product),
                    Some(known) => {
                        assert!(*known == product, "two structs declare the product `{}`, differently", product.name);
                    }
                }
            }
            inputs.push(described.input);
        }
        manifest::Manifest {
            manifest_version: manifest::MANIFEST_VERSION,
            name: self.name.to_owned(),
            version: self.version.to_owned(),
            owner: self.owner.to_owned(),
            description: self.description.to_owned(),
            inputs,
            products,
            gold: self.gold.iter().map(|describe| describe()).collect(),
        }
    }

    /// The names of the products, in the manifest's order; `process` numbers them so.
    #[must_use]
    pub fn products(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for entry in self.transforms {
            (entry.products)(&mut names);
        }
        let mut once = Vec::with_capacity(names.len());
        for name in names {
            if !once.contains(&name) {
                once.push(name);
            }
        }
        once
    }

    /// Transforms a chunk of events of one input.
    ///
    /// # Errors
    /// When there is no such input or the columns are not those that it declares.
    pub fn process(&self, input: usize, events: Columns<'_>) -> Result<Outcome, String> {
        let entry = self.transforms.get(input).ok_or_else(|| format!("there is no input {input}"))?;
        (entry.run)(events)
    }
}
