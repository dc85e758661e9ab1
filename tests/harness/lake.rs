//! Where a lake stands, as the pipeline is told and as readers find it.

use crate::config::Config;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The location of a lake, with what its store needs to know.
#[derive(Debug, Clone, Default)]
pub struct Lake {
    /// A folder, or a URL.
    pub location: String,
    /// Options of the store, in the words of the crate `object_store`; Python's deltalake takes the same.
    pub options: BTreeMap<String, String>,
}

/// A table of a lake as the readers' script takes it.
#[derive(Debug, Clone, Serialize)]
pub struct TableAt {
    path: String,
    options: BTreeMap<String, String>,
    /// The newest without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

impl TableAt {
    /// The table as it was at a version.
    #[must_use]
    pub fn at(self, version: u64) -> Self {
        Self { version: Some(version), ..self }
    }
}

impl Lake {
    /// A lake in a folder.
    #[must_use]
    pub fn folder(folder: &Path) -> Self {
        Self { location: folder.display().to_string(), options: BTreeMap::new() }
    }

    /// The table at `path` below the location.
    #[must_use]
    pub fn table(&self, path: &str) -> TableAt {
        let path = format!("{}/{path}", self.location.trim_end_matches('/'));
        TableAt { path, options: self.options.clone(), version: None }
    }

    /// Tells the pipeline where its lake is.
    pub fn configure(&self, config: &mut Config) {
        config.text("lake", "location", &self.location);
        for (name, value) in &self.options {
            config.text("lake.options", name, value);
        }
    }
}

impl From<&Path> for TableAt {
    fn from(path: &Path) -> Self {
        Self { path: path.display().to_string(), options: BTreeMap::new(), version: None }
    }
}
