//! What files desire of plugins: read, checked, and with the environment filled in.

use std::{collections::BTreeMap, path::Path};

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{
    environment::{Environment, Filled},
    file::{Written, refused},
};
use crate::{
    api::{
        json::{from_struct, to_struct},
        v1::Policy,
    },
    cli::{
        failure::{Exit, Failure},
        package::{ManifestArg, ManifestFile, Package, remarks},
        policy::{self, fields},
    },
    domain::{Digest, events::EventCatalog, manifest::Manifest},
    fetch,
};

/// What is desired of a plugin. What is not there is left as it is.
pub(super) struct Desired {
    /// Its manifest id.
    pub(super) id: String,
    /// Where that is written, for people.
    pub(super) place: String,
    pub(super) source: Source,
    pub(super) active: Option<bool>,
    pub(super) configuration: Option<Filled>,
    pub(super) policy: Option<Decision>,
}

/// What a plugin is made of.
#[derive(Clone)]
pub(super) enum Source {
    Unsaid,
    /// The package with this digest, wherever it comes from.
    Digest(String),
    /// The package at this address, which has this digest if one is given.
    Url(String, Option<String>),
    Package(Archive),
    /// Its manifest, in the form that servers store, and what its author may want to know.
    External(Map<String, Value>, Vec<String>),
}

impl Source {
    /// What the author of the package or the manifest may want to know.
    pub(super) fn notes(&self) -> &[String] {
        match self {
            Self::Package(archive) => &archive.notes,
            Self::External(_, notes) => notes,
            Self::Unsaid | Self::Digest(_) | Self::Url(..) => &[],
        }
    }
}

/// A package that can be sent.
#[derive(Clone)]
pub(super) struct Archive {
    pub(super) digest: String,
    pub(super) version: String,
    pub(super) bytes: Bytes,
    /// What its author may want to know.
    pub(super) notes: Vec<String>,
}

/// A whole policy.
#[derive(Clone)]
pub(super) struct Decision {
    pub(super) policy: Policy,
    /// The same in words that can be compared.
    pub(super) words: Filled,
}

impl Archive {
    /// The archive of a package that must have this manifest id, and this digest if one is given.
    fn of(package: &Package, id: &str, digest: Option<&str>) -> Result<Self, Failure> {
        if package.manifest_id() != id {
            return Err(no_match("the manifest id", package.manifest_id(), id));
        }
        match digest {
            Some(digest) if package.digest != digest => Err(no_match("the digest", &package.digest, digest)),
            _ => Ok(Self {
                digest: package.digest.clone(),
                version: package.version().to_owned(),
                bytes: package.bytes.clone(),
                notes: package.notes(),
            }),
        }
    }
}

fn no_match(what: &str, is: &str, written: &str) -> Failure {
    Failure::new(format!("{what} of it is {is:?}, and the file says {written:?}")).exit(Exit::Refused)
}

/// Reads all that files name but what is at a URL.
pub(super) fn read(written: Vec<Written>, environment: &mut Environment<'_>) -> Result<Vec<Desired>, Failure> {
    written.into_iter().map(|written| desired(written, environment)).collect()
}

fn desired(written: Written, environment: &mut Environment<'_>) -> Result<Desired, Failure> {
    let Written { entry, place, folder } = written;
    let id = entry.id.value;
    let here = |failure: Failure| failure.about(format_args!("{place}: {id}"));
    let source = match (entry.package, entry.external) {
        (Some(_), Some(_)) => return Err(here(contradiction("a package", "a manifest of an external one"))),
        (None, Some(_)) if entry.digest.is_some() => return Err(here(contradiction("a digest", "external"))),
        (None, Some(_)) if entry.active == Some(false) => return Err(here(contradiction("active: false", "external"))),
        (None, Some(_)) if entry.policy.is_some() => return Err(here(contradiction("a policy", "external"))),
        (None, Some(manifest)) => external(manifest, &folder, &id),
        (package, None) => packaged(package, entry.digest, &folder, &id),
    };
    let configuration = entry.configuration.map(|values| configuration(values, environment));
    let policy = entry.policy.map(|words| decision(words, environment));
    Ok(Desired {
        source: source.map_err(here)?,
        active: entry.active,
        configuration: configuration.transpose().map_err(here)?,
        policy: policy.transpose().map_err(here)?,
        place,
        id,
    })
}

fn contradiction(one: &str, other: &str) -> Failure {
    let hint = "a plugin has a package, which plugd runs, or is external, and then somebody else starts and stops it";
    Failure::new(format!("{one} and {other} do not go together")).hint(hint).exit(Exit::Refused)
}

fn packaged(package: Option<String>, digest: Option<String>, folder: &Path, id: &str) -> Result<Source, Failure> {
    let digest = digest.map(|digest| digest.parse::<Digest>()).transpose();
    let digest = digest.map_err(|_| refused("digest", "sha256: and 64 digits are expected"))?;
    match (package, digest.map(|digest| digest.to_string())) {
        (None, None) => Ok(Source::Unsaid),
        (None, Some(digest)) => Ok(Source::Digest(digest)),
        (Some(url), digest) if url.starts_with("http://") || url.starts_with("https://") => {
            Ok(Source::Url(url, digest))
        }
        (Some(path), digest) => {
            let package = Package::read(&folder.join(&path), &ManifestArg::default())?;
            let archive = Archive::of(&package, id, digest.as_deref());
            Ok(Source::Package(archive.map_err(|failure| failure.about(path))?))
        }
    }
}

/// Fetches the package at a URL, unless the plugin has what is expected there.
pub(super) async fn fetched(source: &Source, id: &str, present: Option<&str>) -> Result<Option<Source>, Failure> {
    let Source::Url(url, digest) = source else { return Ok(None) };
    if digest.is_some() && digest.as_deref() == present {
        return Ok(digest.clone().map(Source::Digest));
    }
    // Who names an address here could dial it, too.
    let options = fetch::Options { allow_private: true, ..fetch::Options::default() };
    let package = Package::of_bytes(fetch::fetch(url, &options).await?)?;
    let archive = Archive::of(&package, id, digest.as_deref());
    Ok(Some(Source::Package(archive.map_err(|failure| failure.about(url))?)))
}

/// An external plugin's manifest, written out or in a file.
fn external(written: Value, folder: &Path, id: &str) -> Result<Source, Failure> {
    let written = match written {
        Value::Object(manifest) => manifest,
        Value::String(path) => ManifestFile::read(&folder.join(path))?.object,
        _ => return Err(refused("external", "a manifest or the path of one is expected")),
    };
    let notes = remarks(&written, false).iter().map(|remark| format!("warning: {remark}")).collect();
    let manifest = Manifest::from_value(Value::Object(written), &EventCatalog::any())?;
    if manifest.id != id {
        return Err(no_match("the manifest id", &manifest.id, id));
    }
    Ok(Source::External(carried(&manifest.to_map(), "external")?, notes))
}

fn configuration(values: Map<String, Value>, environment: &mut Environment<'_>) -> Result<Filled, Failure> {
    let mut filled = environment.fill(values);
    filled.values = carried(&filled.values, "configuration")?;
    Ok(filled)
}

fn decision(words: Map<String, Value>, environment: &mut Environment<'_>) -> Result<Decision, Failure> {
    let mut words = environment.fill(words);
    let mut policy = Policy::default();
    for (key, value) in &words.values {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return Err(refused("policy", format_args!("{key}: a text or a number is expected"))),
        };
        let assigned = fields::assign(&mut policy, key, Some(&text));
        assigned.map_err(|what| Failure { exit: Exit::Refused, ..policy::unusable(key, what) }.about("policy"))?;
    }
    words.values = in_words(&policy);
    words.secret.extend(words.values.keys().filter(|key| key.starts_with(fields::VARIABLE)).cloned());
    Ok(Decision { policy, words })
}

/// A policy as words that can be compared.
pub(super) fn in_words(policy: &Policy) -> Map<String, Value> {
    let decided: BTreeMap<String, String> = fields::decided(policy).into_iter().collect();
    decided.into_iter().map(|(key, value)| (key, value.into())).collect()
}

/// Values as they come back from a server, which does not carry every number.
fn carried(values: &Map<String, Value>, what: &str) -> Result<Map<String, Value>, Failure> {
    Ok(from_struct(&to_struct(values).map_err(|error| refused(what, error))?))
}
