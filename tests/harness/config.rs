//! A configuration file in the making.

use std::collections::BTreeMap;
use std::path::Path;

/// The lines of a `lakeward.toml`, by section.
#[derive(Debug, Clone, Default)]
pub struct Config(BTreeMap<String, BTreeMap<String, String>>);

impl Config {
    /// Sets a key of a section (the top one is `""`) to a literal of TOML.
    pub fn set(&mut self, section: &str, key: &str, literal: impl Into<String>) -> &mut Self {
        self.0.entry(section.to_owned()).or_default().insert(key.to_owned(), literal.into());
        self
    }

    /// Sets a key of a section to a text.
    pub fn text(&mut self, section: &str, key: &str, text: &str) -> &mut Self {
        // Rust's debug form of the paths, addresses and names used here is a basic string of TOML.
        self.set(section, key, format!("{text:?}"))
    }

    /// Leaves a section out.
    pub fn remove(&mut self, section: &str) -> &mut Self {
        self.0.remove(section);
        self
    }

    /// Adds a module.
    pub fn module(&mut self, name: &str, path: &Path) -> &mut Self {
        self.text(&format!("modules.{name}"), "path", &path.display().to_string())
    }

    /// The file's text.
    #[must_use]
    pub fn toml(&self) -> String {
        let mut toml = String::new();
        // The top section sorts first, as TOML wants it.
        for (section, lines) in &self.0 {
            if !section.is_empty() {
                toml.push_str(&format!("[{section}]\n"));
            }
            for (key, literal) in lines {
                toml.push_str(&format!("{key} = {literal}\n"));
            }
        }
        toml
    }
}
