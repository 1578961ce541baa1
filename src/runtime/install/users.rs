//! A user of its own for each plugin. The owner of its install directory is the record of that, and there is no other.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Mutex, PoisonError},
};

use super::{InstallError, Installations, Result, TRASH, dir::Dir};
use crate::{
    domain::{
        PluginId,
        policy::{User, UserRange},
    },
    files::if_there,
};

/// Which plugin has which user, once the folders were looked through.
#[derive(Debug, Default)]
pub(super) struct Users(Mutex<Option<HashMap<u32, PluginId>>>);

impl Installations {
    /// The user that this plugin alone has, of those in this range: the owner of its folder, or the first that nobody has,
    /// who gets the folder. Nobody else may look into it from then on.
    ///
    /// # Errors
    /// All have a plugin. Or the disk refuses, or plugd may not give files away.
    pub(crate) fn claim_user(&self, plugin: PluginId, range: UserRange) -> Result<User> {
        let mut known = self.users.0.lock().unwrap_or_else(PoisonError::into_inner);
        let holders = self.known(&mut known)?;
        let folder = self.dir(plugin);
        let own = owner(&folder).map_err(|error| cannot_give(&folder, &error))?.filter(|uid| range.contains(*uid));
        // Whoever had the range for all plugins before has folders with one owner.
        let uid = match own.filter(|uid| holders.get(uid).is_none_or(|holder| *holder == plugin)) {
            Some(uid) => uid,
            None => self.unheld(holders, range)?,
        };
        let user = User { uid, gid: uid };
        give(&folder, user)?;
        holders.insert(uid, plugin);
        Ok(user)
    }

    /// Keeps a user that was chosen for this plugin from all others. The folder is the user's from then on.
    ///
    /// # Errors
    /// Another plugin has that user. Or the disk refuses, or plugd may not give files away.
    pub(crate) fn hold_user(&self, plugin: PluginId, user: User) -> Result<()> {
        let mut known = self.users.0.lock().unwrap_or_else(PoisonError::into_inner);
        let holders = self.known(&mut known)?;
        if let Some(holder) = holders.get(&user.uid).copied().filter(|holder| *holder != plugin) {
            return Err(InstallError::HeldUser { uid: user.uid, holder });
        }
        give(&self.dir(plugin), user)?;
        holders.insert(user.uid, plugin);
        Ok(())
    }

    /// Who has which user; the folders are looked through if that was not done yet.
    fn known<'a>(&self, known: &'a mut Option<HashMap<u32, PluginId>>) -> Result<&'a mut HashMap<u32, PluginId>> {
        match known {
            Some(holders) => Ok(holders),
            unknown => {
                let found = self.holders().map_err(|error| InstallError::disk("read", &self.root, &error))?;
                Ok(unknown.insert(found))
            }
        }
    }

    /// Another plugin may have this one's user from now on: its folder is gone.
    pub(super) fn release_user(&self, plugin: PluginId) {
        if let Some(holders) = &mut *self.users.0.lock().unwrap_or_else(PoisonError::into_inner) {
            holders.retain(|_, holder| *holder != plugin);
        }
    }

    /// The first user that nobody has, and that nothing belongs to which is still being deleted.
    fn unheld(&self, holders: &HashMap<u32, PluginId>, range: UserRange) -> Result<u32> {
        let trash = self.root.join(TRASH);
        let dying = owners_in(&trash).map_err(|error| InstallError::disk("read", &trash, &error))?;
        let mut unheld = range.uids().filter(|uid| !holders.contains_key(uid) && !dying.contains(uid));
        unheld.next().ok_or(InstallError::NoUser(range))
    }

    /// Who owns the folder of each plugin; of several with one owner, one.
    fn holders(&self) -> io::Result<HashMap<u32, PluginId>> {
        let plugins = if_there(self.plugins())?.into_iter().flatten();
        let held = plugins.filter_map(|plugin| Some((owner(&self.dir(plugin)).transpose()?, plugin)));
        held.map(|(owner, plugin)| Ok((owner?, plugin))).collect()
    }
}

/// Gives a folder to its user, and lets nobody else look into it.
fn give(folder: &Path, user: User) -> Result<()> {
    let given = Dir::open(folder, Some(user)).and_then(|folder| folder.close_to_others());
    given.map_err(|error| cannot_give(folder, &error))
}

fn cannot_give(folder: &Path, error: &io::Error) -> InstallError {
    InstallError::disk("give to its user", folder, error)
}

/// Who owns what is in this folder.
fn owners_in(folder: &Path) -> io::Result<HashSet<u32>> {
    let entries = if_there(fs::read_dir(folder))?.into_iter().flatten();
    let owners = entries.filter_map(|entry| entry.and_then(|entry| owner(&entry.path())).transpose());
    owners.collect()
}

/// Who owns this; `None` if it is not there.
fn owner(path: &Path) -> io::Result<Option<u32>> {
    if_there(fs::symlink_metadata(path).map(|found| found.uid()))
}
