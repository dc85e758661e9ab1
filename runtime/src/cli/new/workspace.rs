//! Whether a cargo workspace around a new crate takes it as a member.

use std::path::Path;

/// Whether the nearest workspace above `dir` lists it as a member: then it must not be a workspace of its own.
pub(super) fn is_member(dir: &Path) -> bool {
    dir.ancestors().skip(1).find_map(|root| claims(root, dir)).unwrap_or(false)
}

/// `None` when there is no workspace at `root`.
fn claims(root: &Path, dir: &Path) -> Option<bool> {
    let manifest: toml::Table = std::fs::read_to_string(root.join("Cargo.toml")).ok()?.parse().ok()?;
    let workspace = manifest.get("workspace")?;
    let inside = dir.strip_prefix(root).ok()?.to_str()?;
    let listed = |key: &str, fits: fn(&str, &str) -> bool| {
        let patterns = workspace.get(key).and_then(toml::Value::as_array).into_iter().flatten();
        patterns.filter_map(toml::Value::as_str).any(|pattern| fits(pattern, inside))
    };
    // Cargo reads `exclude` as paths, not as patterns, and leaves out all that is under them.
    let excluded = listed("exclude", |path, inside| Path::new(inside).starts_with(path));
    Some(!excluded && listed("members", is_match))
}

/// Whether `path` fits a pattern whose parts may have `*` in them, as in `transforms/*`.
fn is_match(pattern: &str, path: &str) -> bool {
    let (mut parts, mut names) = (pattern.trim_end_matches('/').split('/'), path.split('/'));
    loop {
        match (parts.next(), names.next()) {
            (None, None) => return true,
            (Some(part), Some(name)) if is_part_match(part, name) => {}
            _ => return false,
        }
    }
}

fn is_part_match(part: &str, name: &str) -> bool {
    match part.split_once('*') {
        None => part == name,
        Some((before, after)) => {
            name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_whole_paths_only() {
        let cases = [
            ("transforms/*", "transforms/retail", true),
            ("transforms/*/", "transforms/retail", true),
            ("transforms/*", "transforms", false),
            ("transforms/*", "transforms/a/b", false),
            ("retail", "retail", true),
            ("re*l", "retail", true),
            ("rex*l", "retail", false),
            ("*", "retail", true),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(is_match(pattern, path), expected, "{pattern} against {path}");
        }
    }
}
