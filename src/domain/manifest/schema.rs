//! Reads the configuration schema of a manifest (CONTRACT 5.5).

use serde_json::Value;

use super::{
    super::configuration::{ConfigurationSchema, Field, FieldType},
    problems::Problems,
    reader::Object,
};

/// What is said of a field without a type that plugd knows.
const NO_TYPE: &str = "must be \"string\", \"number\" or \"boolean\".";

/// The schema; nothing if it declares no fields.
pub(super) fn read(mut object: Object, problems: &mut Problems) -> Option<ConfigurationSchema> {
    let objects = object.objects("fields", problems).into_iter();
    let fields: Vec<Field> = objects.filter_map(|object| read_field(object, problems)).collect();
    (!fields.is_empty()).then_some(ConfigurationSchema { fields })
}

fn read_field(mut object: Object, problems: &mut Problems) -> Option<Field> {
    let kind = read_type(&mut object, problems);
    let id = object.text_or_empty("id", problems);
    let label = object.text_or_empty("label", problems);
    let description = object.text_or_empty("description", problems);
    let default = read_default(&mut object, kind?, problems);
    Some(Field { kind: kind?, id, label, description, default })
}

fn read_type(object: &mut Object, problems: &mut Problems) -> Option<FieldType> {
    let path = object.path_of("type");
    let kind = object.take("type").and_then(|node| FieldType::from_name(node.value.as_str()?));
    if kind.is_none() {
        problems.add(&path, NO_TYPE);
    }
    kind
}

fn read_default(object: &mut Object, kind: FieldType, problems: &mut Problems) -> Option<Value> {
    let node = object.take("default")?;
    if !kind.fits(&node.value) {
        problems.add(&node.path, format!("must be a {} value.", kind.name()));
    }
    Some(node.value)
}
