//! A version of a module beside the module itself: the same code, whose module, products and gold products bear names of their own.

use lakeward_manifest::Manifest;

/// The first version that stands beside a module, which itself counts as the one before.
pub const FIRST_VERSION: u32 = 2;

/// The name of a version of a module or product: `sales_v2`.
#[must_use]
pub fn version_name(name: &str, version: u32) -> String {
    format!("{name}_v{version}")
}

/// What a module says of itself under the name that it is deployed as.
///
/// | deployed as          | the manifest                                                             |
/// |----------------------|--------------------------------------------------------------------------|
/// | its own name         | as it is                                                                 |
/// | a version's name     | module, products and gold products are called by the names of the version |
/// | any other            | `None`: a module does not go by that name                                |
#[must_use]
pub fn deployed_as(manifest: &Manifest, name: &str) -> Option<Manifest> {
    match version_of(&manifest.name, name)? {
        version if version < FIRST_VERSION => Some(manifest.clone()),
        version => Some(versioned(manifest, version)),
    }
}

/// The version of the module `plain` that is deployed as `name`; the module itself counts as 1.
#[must_use]
pub fn version_of(plain: &str, name: &str) -> Option<u32> {
    if plain == name {
        return Some(FIRST_VERSION - 1);
    }
    let version = name.strip_prefix(plain)?.strip_prefix("_v")?.parse().ok()?;
    // One version has one name: neither `_v02` nor `_v+2`.
    (version >= FIRST_VERSION && version_name(plain, version) == name).then_some(version)
}

/// Outputs name their product by its index, so the code needs to know nothing of it.
fn versioned(manifest: &Manifest, version: u32) -> Manifest {
    let mut manifest = manifest.clone();
    let rename = |name: &mut String| *name = version_name(name, version);
    rename(&mut manifest.name);
    manifest.products.iter_mut().for_each(|product| rename(&mut product.name));
    manifest.inputs.iter_mut().flat_map(|input| &mut input.products).for_each(rename);
    for gold in &mut manifest.gold {
        rename(&mut gold.name);
        rename(&mut gold.from);
    }
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::{check, sample};

    #[test]
    fn a_version_has_names_of_its_own_and_all_else_of_the_module() {
        let plain = sample::manifest();
        let version = deployed_as(&plain, &version_name(&plain.name, 2)).unwrap();
        assert_eq!(check(&version), []);
        assert_eq!(version.name, format!("{}_v2", plain.name));
        for (input, other) in version.inputs.iter().zip(&plain.inputs) {
            let names: Vec<String> = other.products.iter().map(|name| version_name(name, 2)).collect();
            assert_eq!((&input.products, &input.topic), (&names, &other.topic));
        }
        for (product, other) in version.products.iter().zip(&plain.products) {
            assert_eq!((&product.name, &product.columns), (&version_name(&other.name, 2), &other.columns));
        }
        for (gold, other) in version.gold.iter().zip(&plain.gold) {
            assert_eq!(gold.name, version_name(&other.name, 2));
            assert_eq!(gold.from, version_name(&other.from, 2));
        }
        assert_eq!((version.owner, version.version), (plain.owner, plain.version));
    }

    #[test]
    fn a_module_goes_by_its_own_name_and_by_those_of_its_versions() {
        let plain = Manifest { name: "retail".to_owned(), ..sample::manifest() };
        assert_eq!(deployed_as(&plain, "retail").as_ref(), Some(&plain));
        for name in ["retail_v2", "retail_v17"] {
            assert_eq!(deployed_as(&plain, name).unwrap().name, name);
        }
        assert_eq!(["retail", "retail_v17"].map(|name| version_of("retail", name)), [Some(1), Some(17)]);
        for name in
            ["wholesale", "retail_", "retail_v", "retail_v1", "retail_v02", "retail_v+2", "retail_v2_v3", "etail_v2"]
        {
            assert_eq!(deployed_as(&plain, name), None, "{name}");
        }
    }
}
