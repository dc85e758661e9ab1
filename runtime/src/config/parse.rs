//! Reads a configuration file into plain data and fills in what depends on the whole.

use super::substitute::{self, Substituted};
use super::{Config, Error};
use std::path::Path;

/// The most characters of a line that an error shows.
const SHOWN: usize = 160;

impl Config {
    /// Reads the file at `path`; variables come from the environment.
    ///
    /// # Errors
    /// When the file cannot be read, or is not a configuration.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder, &|name| std::env::var(name).ok())
            .map_err(|source| Error::File { path: path.to_owned(), source: Box::new(source) })
    }

    /// Reads `text`, in which paths are relative to `base_dir` and variables come from `env`.
    ///
    /// # Errors
    /// When the text is not a configuration.
    pub fn parse(text: &str, base_dir: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let substituted = substitute::substitute(text, env)?;
        let mut config: Self =
            toml::from_str(&substituted.text).map_err(|error| layout_error(&error, &substituted, text))?;
        let line = |offset: usize| line_of(text, substituted.original(offset));
        config.kafka.properties.locate(line);
        config.lake.options.locate(line);
        if config.modules.is_empty() {
            return Err(Error::NoModules);
        }
        if config.kafka.group.is_empty() {
            config.kafka.group = format!("lakeward.{}", config.pipeline);
        }
        for module in config.modules.values_mut() {
            module.path = base_dir.join(&module.path);
        }
        for path in config.topics.values_mut().filter_map(|topic| topic.path.as_mut()) {
            *path = base_dir.join(&*path);
        }
        Ok(config)
    }
}

/// The line of a byte, from 1.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

/// The error with the line of the original text: the text that was parsed may hold secrets.
fn layout_error(error: &toml::de::Error, substituted: &Substituted, original: &str) -> Error {
    let message = error.message().to_owned();
    let span = error.span().unwrap_or(0..0);
    let at = |offset| original.floor_char_boundary(substituted.original(offset).min(original.len()));
    let (start, end) = (at(span.start), at(span.end));
    let line_start = original[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let shown: String = original[line_start..].lines().next().unwrap_or_default().chars().take(SHOWN).collect();
    let line = line_of(original, start);
    let indent = original[line_start..start].chars().count();
    let marked = original[start..end.max(start)].lines().next().unwrap_or_default().chars().count();
    let marks = "^".repeat(marked.min(shown.chars().count().saturating_sub(indent)).max(1));
    let margin = " ".repeat(line.to_string().len());
    let excerpt = format!(" {line} | {shown}\n {margin} | {}{marks}", " ".repeat(indent.min(SHOWN)));
    Error::Layout { line, column: indent + 1, message, excerpt }
}
