//! A module that is run for the sake of a comparison: its rows meet their contracts and go nowhere.

use super::Outcome;
use crate::decode::Events;
use crate::product::{self, Contract};
use crate::transform::{self, Host, Module, ModuleFile};
use lakeward_manifest::{Column, Manifest};

/// Why a module cannot be tried.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// Its manifest does not make sense.
    #[error("the manifest of module {module} does not hold together: {problems}")]
    Manifest {
        /// The module.
        module: String,
        /// What is wrong.
        problems: String,
    },
    /// It does not compile, or does not fit the world.
    #[error(transparent)]
    Load(#[from] transform::Error),
    /// A contract of it cannot be held.
    #[error("module {module} has a product whose contract cannot be held")]
    Contract {
        /// The module.
        module: String,
        /// Why not.
        source: Box<product::Error>,
    },
}

/// A compiled module with its contracts, ready to be tried from any thread.
#[derive(Debug)]
pub struct Trial {
    module: Module,
    contracts: Vec<Contract>,
}

impl Trial {
    /// Checks and compiles a module. `secret` keys the `hash` mask.
    ///
    /// # Errors
    /// When it is not one that a pipeline would run.
    pub fn load(host: &Host, file: &ModuleFile, secret: Option<&[u8]>) -> Result<Self, TrialError> {
        let name = || file.manifest.name.clone();
        let problems: Vec<String> = transform::check(&file.manifest).iter().map(ToString::to_string).collect();
        if !problems.is_empty() {
            return Err(TrialError::Manifest { module: name(), problems: problems.join("; ") });
        }
        Self::new(Module::load(host, file)?, secret)
    }

    /// The same of a module that is compiled and checked already.
    ///
    /// # Errors
    /// When a contract cannot be held.
    pub fn new(module: Module, secret: Option<&[u8]>) -> Result<Self, TrialError> {
        let products = module.manifest().products.iter();
        let contracts = products.map(|product| Contract::new(product, secret)).collect::<Result<_, _>>();
        let contracts = contracts.map_err(|source| TrialError::Contract {
            module: module.manifest().name.clone(),
            source: Box::new(source),
        })?;
        Ok(Self { module, contracts })
    }

    /// What the module says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        self.module.manifest()
    }

    /// What rows of a product of the manifest are held to.
    #[must_use]
    pub fn contract(&self, product: usize) -> &Contract {
        &self.contracts[product]
    }

    /// The module's inputs that read a topic, by their index in the manifest, each with the columns that it reads.
    pub fn inputs<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = (u32, &'a [Column])> {
        let inputs = (0..).zip(&self.manifest().inputs);
        inputs.filter(move |(_, input)| input.topic == topic).map(|(index, input)| (index, input.columns.as_slice()))
    }

    /// What the module makes of the events of its input `input`.
    #[must_use]
    pub fn outcome(&self, input: u32, events: &Events) -> Outcome {
        let contract = |product: usize| &self.contracts[product];
        Outcome::of(&self.module, input, &events.columns, events.rows.len(), contract)
    }
}
