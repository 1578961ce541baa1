//! Run records: what a later plugd needs in order to find, and prove, what an earlier one left running.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{install::remove_tree, process_table::RunKey};
use crate::{
    domain::{PluginId, RunId},
    files,
};
use rustix::fs::CWD;

/// Most bytes of a record. The true ones have a few hundred; plugins of plugd's own user can write here too.
const MAX_RECORD: u64 = 64 * 1024;

/// One run, as written before and after its process was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The boot of the host; ids of processes mean nothing in another one.
    pub(crate) boot_id: String,
    pub(crate) run: RunId,
    pub(crate) plugin: PluginId,
    /// The leader; absent before the fork.
    pub(crate) leader: Option<LeaderRecord>,
}

/// The first process of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeaderRecord {
    /// Its id.
    pub(crate) pid: u32,
    /// Its process group, and session.
    pub(crate) pgid: u32,
    /// Clock ticks after boot at which it started.
    pub(crate) start_time: u64,
}

impl Record {
    pub(crate) fn key(&self) -> RunKey {
        RunKey { plugin: self.plugin, run: self.run }
    }
}

/// The folder of run records, one file a plugin. A record need not survive a power cut (the boot is another one then),
/// so nothing is forced to the disk.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    dir: PathBuf,
    boot_id: String,
}

impl Records {
    /// The records in this folder, which is created when the first is written.
    pub(crate) fn new(dir: PathBuf) -> io::Result<Self> {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        Ok(Self { dir, boot_id })
    }

    pub(crate) fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// Where the record of this plugin is.
    pub(crate) fn path(&self, plugin: PluginId) -> PathBuf {
        self.dir.join(format!("{plugin}.json"))
    }

    /// Writes the record of a run, in place of what was there.
    pub(crate) fn write(&self, key: RunKey, leader: Option<LeaderRecord>) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let record = Record { boot_id: self.boot_id.clone(), run: key.run, plugin: key.plugin, leader };
        let replace = files::Replace { mode: 0o644, is_durable: false };
        replace.file(&self.path(key.plugin), &serde_json::to_vec(&record)?)
    }

    /// Removes the record of a plugin, if there is one.
    pub(crate) fn remove(&self, plugin: PluginId) -> io::Result<()> {
        match fs::remove_file(self.path(plugin)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The record of a plugin, if there is one that can be read.
    pub(crate) fn read(&self, plugin: PluginId) -> io::Result<Option<Record>> {
        read(&self.path(plugin))
    }

    /// All records. One that can't be understood is removed: it can prove nothing.
    pub(crate) fn all(&self) -> io::Result<Vec<Record>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut records = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                records.extend(read(&path)?);
            }
        }
        Ok(records)
    }
}

fn read(path: &Path) -> io::Result<Option<Record>> {
    let read = match files::read_at(CWD, path, MAX_RECORD) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput) => Err(error),
        Err(error) => return Err(error),
    };
    read.map(Some).or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "removing a run record that can't be read");
        remove_tree(path).map(|()| None)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_record_is_removed_and_neither_read_whole_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(folder.path().to_owned()).unwrap();
        let plugin = PluginId::from_bytes([1; 12]);
        let path = records.path(plugin);
        let stand_ins: [&dyn Fn(); 4] = [
            &|| fs::File::create(&path).unwrap().set_len(1 << 42).unwrap(),
            &|| rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, 0o666.into(), 0).unwrap(),
            &|| fs::create_dir(&path).unwrap(),
            &|| std::os::unix::fs::symlink("/dev/zero", &path).unwrap(),
        ];
        for stand_in in stand_ins {
            stand_in();
            assert_eq!(records.read(plugin).unwrap(), None);
            assert!(path.symlink_metadata().is_err(), "it is still there");
        }
    }
}
