//! Decompresses what an archive holds, to see that it is what its directory says.

use std::io::{self, Read};

use super::{
    super::error::Result,
    archive::Archive,
    layout::{Layout, Planned},
    path::{ESCAPES, leads_out},
    refusal::Refusal,
};

/// Base name of the manifest.
const MANIFEST: &str = "manifest.json";

/// Most bytes of a symbolic link's text: what Linux takes.
const MAX_LINK: u64 = 4096;

/// The bytes of the first file named `manifest.json`, in whatever folder.
///
/// # Errors
/// `INVALID_PACKAGE`: there is none, or it is larger than `limit` bytes, or unreadable.
pub(super) fn read_manifest(archive: &mut Archive<'_>, layout: &Layout, limit: u64) -> Result<Vec<u8>> {
    let is_manifest = |planned: &&Planned| planned.file.path.rsplit('/').next() == Some(MANIFEST);
    let Some(planned) = layout.files.iter().find(is_manifest) else {
        return Err(Refusal::archive(format!("there is no {MANIFEST} in it")).into());
    };
    if planned.file.size > limit {
        return Err(Refusal::entry(&planned.file.path, format!("a manifest has at most {limit} bytes")).into());
    }
    read(archive, planned)
}

/// Reads every file to its end: sizes and checksums are true, and no link leads out.
///
/// # Errors
/// `INVALID_PACKAGE` about the first file that is not what it says.
pub(super) fn verify(archive: &mut Archive<'_>, layout: &Layout) -> Result<()> {
    layout.files.iter().try_for_each(|planned| match planned.is_link {
        true => verify_link(archive, planned),
        false => copy(archive, planned, &mut io::sink()),
    })
}

fn verify_link(archive: &mut Archive<'_>, planned: &Planned) -> Result<()> {
    let path = &planned.file.path;
    if planned.file.size > MAX_LINK {
        return Err(Refusal::entry(path, "it is a symbolic link with a text that is too long").into());
    }
    let target = read(archive, planned)?;
    if leads_out(path, &String::from_utf8_lossy(&target)) {
        return Err(Refusal::entry(path, format!("{ESCAPES}: it is a symbolic link that leads out")).into());
    }
    Ok(())
}

fn read(archive: &mut Archive<'_>, planned: &Planned) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    copy(archive, planned, &mut bytes)?;
    Ok(bytes)
}

/// Copies at most one byte more than the directory says, and says so if that is not exactly what comes.
fn copy(archive: &mut Archive<'_>, planned: &Planned, to: &mut dyn io::Write) -> Result<()> {
    let Planned { index, file, .. } = planned;
    let broken =
        |error: &dyn std::fmt::Display| Refusal::entry(&file.path, format!("its contents are broken ({error})"));
    let entry = archive.by_index(*index).map_err(|error| broken(&error))?;
    let copied = io::copy(&mut entry.take(file.size + 1), to).map_err(|error| broken(&error))?;
    if copied != file.size {
        let why = format!("its size is not what the archive's directory says ({} bytes)", file.size);
        return Err(Refusal::entry(&file.path, why).into());
    }
    Ok(())
}
