//! Where a new crate goes and what it names.

use super::*;

/// What the new crate's Cargo.toml says.
fn cargo_toml(dir: &Path) -> toml::Table {
    std::fs::read_to_string(dir.join("Cargo.toml")).unwrap().parse().unwrap()
}

fn dependency(dir: &Path) -> String {
    cargo_toml(dir)["dependencies"]["lakeward-sdk"].to_string()
}

/// A folder that looks like a checkout of this project, with an SDK and a workspace.
fn checkout() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("sdk")).unwrap();
    std::fs::create_dir_all(root.path().join("transforms")).unwrap();
    std::fs::write(root.path().join("sdk/Cargo.toml"), "[package]\nname = \"lakeward-sdk\"\n").unwrap();
    std::fs::write(root.path().join("Cargo.toml"), "[workspace]\nmembers = [\"sdk\", \"transforms/*\"]\n").unwrap();
    root
}

#[test]
fn a_crate_has_all_its_files_and_no_blank_is_left() {
    let parent = tempfile::tempdir().unwrap();
    let created = create(parent.path(), "climate", None).unwrap();
    for (file, _) in FILES {
        let text = std::fs::read_to_string(created.dir.join(file)).unwrap();
        assert!(!text.contains("{{name}}") && !text.contains("{{sdk}}") && !text.contains("{{workspace}}"), "{file}: {text}");
    }
    let manifest = cargo_toml(&created.dir);
    assert_eq!(manifest["package"]["name"].as_str(), Some("climate"));
    assert!(manifest.contains_key("workspace"), "the crate stands alone");
}

#[test]
fn a_crate_in_the_checkout_names_the_sdk_relatively_and_joins_the_workspace() {
    let root = checkout();
    let created = create(&root.path().join("transforms"), "climate", Some(&root.path().join("sdk"))).unwrap();
    assert_eq!(dependency(&created.dir), r#"{ path = "../../sdk" }"#);
    assert!(!cargo_toml(&created.dir).contains_key("workspace"));
}

#[test]
fn a_crate_in_the_checkout_that_the_workspace_does_not_list_stands_alone() {
    let root = checkout();
    let created = create(root.path(), "climate", Some(&root.path().join("sdk"))).unwrap();
    assert_eq!(dependency(&created.dir), r#"{ path = "../sdk" }"#);
    assert!(cargo_toml(&created.dir).contains_key("workspace"));
}

#[test]
fn a_crate_elsewhere_names_the_sdk_absolutely() {
    let (root, parent) = (checkout(), tempfile::tempdir().unwrap());
    let created = create(parent.path(), "climate", Some(&root.path().join("sdk"))).unwrap();
    let sdk = root.path().join("sdk").canonicalize().unwrap();
    assert_eq!(dependency(&created.dir), format!("{{ path = {:?} }}", sdk));
}

#[test]
fn a_folder_that_is_not_the_sdk_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let error = create(parent.path(), "climate", Some(parent.path())).unwrap_err();
    assert_eq!(error.to_string(), format!("{} is not the crate lakeward-sdk", parent.path().display()));
    assert!(error.is_usage() && !parent.path().join("climate").exists());
}

#[test]
fn what_exists_is_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    std::fs::write(parent.path().join("climate"), "mine").unwrap();
    let error = create(parent.path(), "climate", None).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }) && error.is_usage());
    assert_eq!(std::fs::read_to_string(parent.path().join("climate")).unwrap(), "mine");
}

#[test]
fn names_that_will_not_do_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    for name in ["", "Climate", "9lives", "_x", "a-b", "../evil", "a/b", "fn", "crate", "größe", &"a".repeat(65)] {
        let error = create(parent.path(), name, None).unwrap_err();
        assert!(matches!(error, Error::Name { .. }), "{name}: {error}");
    }
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
}
