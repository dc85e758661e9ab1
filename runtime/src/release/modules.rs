//! The modules by their digests, as objects beside the tables: what was ever deployed can be deployed again.

use crate::sink::{self, Warehouse};
use crate::transform::{ModuleFile, Unusable};

/// The folder of the modules.
const FOLDER: &str = "_lakeward/modules";

/// Why a module cannot be had from the lake.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] sink::Error),
    /// There is no such module.
    #[error("the lake has no module {digest}")]
    Unknown {
        /// The digest.
        digest: String,
    },
    /// What is there is not what the digest says.
    #[error("the module {digest} of the lake is damaged: its bytes have the digest {found}")]
    Damaged {
        /// The digest.
        digest: String,
        /// The digest of the bytes.
        found: String,
    },
    /// It is deployed under a name that is not its own.
    #[error("the module {digest} of the lake is {found}, and does not go by the name {name}")]
    Named {
        /// The digest.
        digest: String,
        /// The name in its manifest.
        found: String,
        /// The name that it is deployed as.
        name: String,
    },
    /// This version does not host the module.
    #[error("the module {digest} of the lake cannot be run")]
    Unusable {
        /// The digest.
        digest: String,
        /// Why not.
        source: Box<Unusable>,
    },
}

fn name(digest: &str) -> String {
    format!("{digest}.wasm")
}

/// Stores a module under its digest; one that is there already stays.
///
/// # Errors
/// When the store fails.
pub async fn store(lake: &Warehouse, module: &ModuleFile) -> Result<(), sink::Error> {
    lake.put_new(FOLDER, &name(&module.digest), module.bytes.clone().into()).await
}

/// The module of a digest.
///
/// # Errors
/// When the store fails, has no such module, or has another one under its name.
pub async fn find(lake: &Warehouse, digest: &str) -> Result<ModuleFile, FindError> {
    let bytes = lake.get(FOLDER, &name(digest)).await?;
    let bytes = bytes.ok_or_else(|| FindError::Unknown { digest: digest.to_owned() })?;
    let module = ModuleFile::parse(bytes.to_vec())
        .map_err(|source| FindError::Unusable { digest: digest.to_owned(), source: Box::new(source) })?;
    if module.digest != digest {
        return Err(FindError::Damaged { digest: digest.to_owned(), found: module.digest });
    }
    Ok(module)
}

/// The module of a digest under the name that it is deployed as.
///
/// # Errors
/// Those of [`find`], and when it does not go by that name.
pub async fn find_as(lake: &Warehouse, name: &str, digest: &str) -> Result<ModuleFile, FindError> {
    let module = find(lake, digest).await?;
    let found = module.manifest.name.clone();
    let unnamed = || FindError::Named { digest: digest.to_owned(), found, name: name.to_owned() };
    module.deployed_as(name).ok_or_else(unnamed)
}
