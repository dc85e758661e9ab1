//! A table's metadata as its log holds it, and how it grows by the columns that new rows bring.
//!
//! Follows the section "Change Metadata" of the Delta transaction log protocol: the newest `metaData` action of a table is the whole truth.

use super::schema::{self, Fit};
use super::table::TableSpec;
use serde_json::Value;

/// What the newest `metaData` action says, and what of a product's columns it does not have yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Metadata {
    action: Value,
    /// The columns that the next commit with files brings.
    lacking: Vec<Value>,
}

impl Metadata {
    /// Takes the body of a `metaData` action; gives what keeps rows of `spec` out of the table too.
    pub(super) fn new(action: Value, spec: &TableSpec) -> (Self, Vec<String>) {
        let found = schema_of(&action);
        let Fit { mut differences, lacking } = schema::fit(&schema::to_delta(&spec.schema), &found, spec.evolves);
        let partitions: Vec<&str> = action["partitionColumns"]
            .as_array()
            .map(|columns| columns.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        if partitions != spec.partition_columns {
            differences.push(format!(
                "the product is partitioned by {:?}, the table by {partitions:?}",
                spec.partition_columns
            ));
        }
        (Self { action, lacking }, differences)
    }

    /// The body of the action that adds what is lacking; all else stays as it is. `None` where nothing is lacking.
    pub(super) fn grown(&self) -> Option<Value> {
        if self.lacking.is_empty() {
            return None;
        }
        let mut action = self.without_nulls();
        action["schemaString"] = schema::with(&schema_of(&self.action), &self.lacking).to_string().into();
        Some(action)
    }

    /// The body of the action that makes the table one of `spec`, of which only its id and settings stay. `None` where it is one already.
    pub(super) fn renewed(&self, spec: &TableSpec) -> Option<Value> {
        let columns = schema::to_delta(&spec.schema);
        let partitions = Value::from(spec.partition_columns.clone());
        if schema_of(&self.action) == columns && self.action["partitionColumns"] == partitions {
            return None;
        }
        let mut action = self.without_nulls();
        action["description"] = spec.description.clone().into();
        action["schemaString"] = columns.to_string().into();
        action["partitionColumns"] = partitions;
        Some(action)
    }

    fn without_nulls(&self) -> Value {
        let mut action = self.action.clone();
        if let Some(fields) = action.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        action
    }

    /// What the metadata becomes by another writer's action, if that changed the schema only, and to one that still takes rows of `spec`.
    pub(super) fn followed_by(&self, action: &Value, spec: &TableSpec) -> Option<Self> {
        let is_same = |field: &str| self.action[field] == action[field];
        if !spec.evolves || !["id", "partitionColumns", "configuration"].into_iter().all(is_same) {
            return None;
        }
        let (metadata, differences) = Self::new(action.clone(), spec);
        differences.is_empty().then_some(metadata)
    }
}

fn schema_of(action: &Value) -> Value {
    action["schemaString"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::{DataType, Field, Schema};
    use serde_json::json;
    use std::sync::Arc;

    fn schema(names: &[&str]) -> Schema {
        Schema::new(names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect::<Vec<_>>())
    }

    fn spec(names: &[&str], evolves: bool) -> TableSpec {
        TableSpec {
            path: "silver/a/b".into(),
            description: String::new(),
            schema: Arc::new(schema(names)),
            partition_columns: Vec::new(),
            track_files: false,
            evolves,
        }
    }

    fn action(names: &[&str]) -> Value {
        json!({"id": "1", "name": "b", "partitionColumns": [], "configuration": {}, "createdTime": null,
            "schemaString": schema::to_delta(&schema(names)).to_string()})
    }

    #[test]
    fn what_grows_keeps_its_id_and_columns() {
        let (metadata, differences) = Metadata::new(action(&["a", "b"]), &spec(&["b", "c"], true));
        assert_eq!(differences, Vec::<String>::new());
        let grown = metadata.grown().unwrap();
        let mut expected = action(&["a", "b", "c"]);
        expected.as_object_mut().unwrap().remove("createdTime");
        assert_eq!(grown, expected);
        assert_eq!(Metadata::new(grown, &spec(&["b", "c"], true)).0.grown(), None);
    }

    #[test]
    fn what_is_renewed_keeps_its_id_and_nothing_of_its_columns() {
        let (metadata, differences) = Metadata::new(action(&["a", "b"]), &spec(&["b", "c"], false));
        assert!(!differences.is_empty());
        let new = TableSpec { partition_columns: vec!["c".to_owned()], ..spec(&["b", "c"], false) };
        let renewed = metadata.renewed(&new).unwrap();
        let mut expected = action(&["b", "c"]);
        expected.as_object_mut().unwrap().remove("createdTime");
        expected["description"] = json!("");
        expected["partitionColumns"] = json!(["c"]);
        assert_eq!(renewed, expected);
        assert_eq!(Metadata::new(renewed, &new).0.renewed(&new), None);
    }

    #[test]
    fn another_writer_may_add_columns_and_nothing_else() {
        let spec = spec(&["a", "c"], true);
        let (metadata, _) = Metadata::new(action(&["a"]), &spec);
        let followed = metadata.followed_by(&action(&["a", "x"]), &spec).unwrap();
        assert_eq!(schema_of(&followed.grown().unwrap()), schema::to_delta(&schema(&["a", "x", "c"])));
        assert!(metadata.followed_by(&action(&["a", "c"]), &spec).unwrap().grown().is_none());
        for (field, value) in [
            ("id", json!("2")),
            ("partitionColumns", json!(["a"])),
            ("configuration", json!({"delta.appendOnly": "true"})),
            (
                "schemaString",
                json!(schema::to_delta(&Schema::new(vec![Field::new("a", DataType::Utf8, true)])).to_string()),
            ),
        ] {
            let mut other = action(&["a"]);
            other[field] = value;
            assert!(metadata.followed_by(&other, &spec).is_none(), "{other}");
        }
        let fixed = self::spec(&["a"], false);
        assert!(Metadata::new(action(&["a"]), &fixed).0.followed_by(&action(&["a", "b"]), &fixed).is_none());
    }
}
