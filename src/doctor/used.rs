//! What the settings name: folders, the disk, the database, certificates, and secrets that lie where plugins may be.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{Access, AtFlags, CWD, StatVfs, StatVfsMountFlags, accessat, statvfs},
    process::geteuid,
};
use tokio::time::timeout;

use super::{Check, bytes, nearest};
use crate::{
    app::store_options,
    config::Config,
    runtime::words,
    store::{self, Address},
    tls,
};

/// With less room than this plugd says that the disk is full.
const NO_ROOM: u64 = 64 << 20;

/// With less room than this the disk is soon full.
const LITTLE_ROOM: u64 = 1 << 30;

/// With fewer files than this so it is.
const FEW_FILES: u64 = 10_000;

/// How long a database may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

const DAY: u64 = 24 * 60 * 60;

/// A certificate with fewer days than this should have been renewed.
const FEW_DAYS: u64 = 14;

/// Looks at all of it.
pub(super) async fn checks(config: &Config) -> Vec<Check> {
    let address = store_options(config).map(|options| options.address);
    let user = address.as_ref().ok().and_then(Address::path).and_then(store::user_of);
    let mut checks = vec![folder("data folder", &config.data_dir)];
    if !config.plugin_dir.starts_with(&config.data_dir) {
        checks.push(folder("plugins' folder", &config.plugin_dir));
    }
    checks.push(disk(&config.data_dir));
    checks.push(server(config, user));
    checks.push(match address {
        Ok(address) => database(&address, user).await,
        Err(error) => Check::failure("database", error.to_string(), "correct --database-url"),
    });
    checks.extend(certificate(config));
    checks
}

/// Secrets of plugd's that do not lie in a folder which plugins can't see: what they are, and where.
pub(super) fn secrets(config: &Config, file: Option<&Path>) -> Vec<(String, PathBuf)> {
    let database = store_options(config).ok().and_then(|options| options.address.path().map(Path::to_owned));
    let named = [
        ("the certificate's key", config.tls_key.clone()),
        ("the database", database),
        ("the file of settings", file.map(Path::to_owned)),
    ];
    let hidden = [&config.data_dir, &config.plugin_dir].map(|folder| fs::canonicalize(folder).ok());
    let is_hidden = |path: &Path| hidden.iter().flatten().any(|hidden| path.starts_with(hidden));
    let found = named.into_iter().filter_map(|(what, path)| Some((what.to_owned(), fs::canonicalize(path?).ok()?)));
    found.filter(|(_, path)| !is_hidden(path)).collect()
}

/// What this process can't see it must not tell of.
const AS_ITS_USER: &str = "run this as the user who runs plugd";

/// Whether a plugd runs on the data folder.
fn server(config: &Config, user: Option<u32>) -> Check {
    let folder = &config.data_dir;
    let is_closed = match fs::metadata(folder) {
        Ok(_) => accessat(CWD, folder, Access::EXEC_OK, AtFlags::EACCESS).is_err(),
        Err(error) => error.kind() != ErrorKind::NotFound,
    };
    match user {
        Some(process) => Check::ok("server", format!("a plugd runs on this data folder: process {process}")),
        None if is_closed => {
            Check::warning("server", "whether one runs can't be seen: the data folder is closed", AS_ITS_USER)
        }
        None => Check::ok("server", "no plugd is seen that runs on this data folder"),
    }
}

fn folder(subject: &str, path: &Path) -> Check {
    let shown = path.display();
    let (there, remedy) = (nearest(path), "name another one, or run this as the user who runs plugd");
    let user = geteuid().as_raw();
    let Ok(found) = fs::metadata(path) else {
        if may_use(&there) {
            return Check::ok(subject, format!("{shown} is not there yet: the first start makes it"));
        }
        let found = format!("{shown} can't be made: user {user} may not write to {}", there.display());
        return Check::failure(subject, found, remedy);
    };
    if !found.is_dir() {
        return Check::failure(subject, format!("{shown} is no folder"), remedy);
    }
    if !may_use(path) {
        let found = format!("user {user} may not write to {shown}, which is user {}'s", found.uid());
        return Check::failure(subject, found, remedy);
    }
    if subject == DATA && found.mode() & 0o077 != 0 {
        let found = format!("{shown} is open to other users: its mode is {:04o}", found.mode() & 0o7777);
        return Check::warning(subject, found, format!("chmod 700 {shown}"));
    }
    Check::ok(subject, format!("{shown} can be written to"))
}

/// The folder that nobody else has business in.
const DATA: &str = "data folder";

fn may_use(folder: &Path) -> bool {
    let access = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    folder.is_dir() && accessat(CWD, folder, access, AtFlags::EACCESS).is_ok()
}

fn disk(folder: &Path) -> Check {
    let there = nearest(folder);
    match statvfs(&there) {
        Ok(disk) => room(&there, &disk),
        Err(error) => Check::failure("disk", format!("{}: {error}", there.display()), "look whether the disk works"),
    }
}

fn room(folder: &Path, disk: &StatVfs) -> Check {
    let (subject, folder) = ("disk", folder.display());
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if disk.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Check::failure(subject, format!("{folder} is on a disk that can only be read"), "mount it for writing");
    }
    // Not every file system counts them.
    let has_files = disk.f_files == 0 || disk.f_favail >= FEW_FILES;
    let found = format!("{} and {} files are free at {folder}", bytes(free), disk.f_favail);
    let remedy = "make room: packages, logs and what plugins write are there";
    match free {
        ..NO_ROOM => Check::failure(subject, found, remedy),
        NO_ROOM..LITTLE_ROOM => Check::warning(subject, found, remedy),
        _ if !has_files => Check::warning(subject, found, remedy),
        _ => Check::ok(subject, found),
    }
}

/// A file that a plugd uses was opened by it, which says more than could be seen from outside.
async fn database(address: &Address, user: Option<u32>) -> Check {
    let subject = "database";
    if let Some(path) = address.path() {
        let shown = path.display();
        match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Check::ok(subject, format!("SQLite, {shown}: the first start makes it"));
            }
            Err(error) => {
                return Check::warning(subject, format!("{shown} can't be seen: {}", words(&error)), AS_ITS_USER);
            }
            Ok(_) if user.is_some() => {
                return Check::ok(subject, format!("SQLite, {shown}: the plugd that runs uses it"));
            }
            Ok(_) if store::has_log(path) => {
                let why = "not looked at: a plugd uses it, or was killed, and the next start takes what is in its log";
                return Check::ok(subject, format!("SQLite, {shown}: {why}"));
            }
            Ok(_) => {}
        }
    }
    match timeout(PATIENCE, store::examine(address)).await {
        Ok(Ok(found)) => Check::ok(subject, format!("{}, {address}: plugins: {}", found.kind, found.plugins)),
        Ok(Err(error)) => Check::failure(subject, format!("{address} can't be used: {error}"), OF_DATABASES),
        Err(_) => Check::failure(subject, format!("{address} does not answer"), OF_DATABASES),
    }
}

const OF_DATABASES: &str =
    "look whether --database-url names the right one, whether it runs, and who may use it; README.md, Databases";

/// The certificate with which plugd would serve.
fn certificate(config: &Config) -> Option<Check> {
    let subject = "certificate";
    if config.tls_self_signed {
        let file = config.data_dir.join("tls/self-signed.pem");
        return Some(match tls::end_of(&file) {
            Ok(end) => until(&file, end, SystemTime::now(), "a start makes another one in time"),
            Err(_) => Check::ok(subject, "the next start makes one that signs itself"),
        });
    }
    let (certificate, authority) = (config.tls_cert.clone(), config.tls_client_ca.clone());
    let files = match tls::Files::of(certificate, config.tls_key.clone(), authority) {
        Ok(None) => return Some(unencrypted(config)),
        Ok(Some(files)) => files,
        Err(error) => return Some(Check::failure(subject, error.to_string(), OF_CERTIFICATES)),
    };
    let path = files.certificate.clone();
    let end = tls::Certificates::open(files).and_then(|_| tls::end_of(&path));
    Some(match end {
        Ok(end) => until(&path, end, SystemTime::now(), "renew it: plugd takes the new files without a restart"),
        Err(error) => Check::failure(subject, error.to_string(), OF_CERTIFICATES),
    })
}

const OF_CERTIFICATES: &str =
    "--tls-cert and --tls-key name a certificate and its own key in PEM, which plugd's user can read";

fn unencrypted(config: &Config) -> Check {
    if config.listen.ip().is_loopback() {
        return Check::ok("certificate", "none: plugd serves this host only");
    }
    let found = format!("none: tokens go over the network in the clear, to {}", config.listen);
    Check::warning(
        "certificate",
        found,
        "--tls-cert with --tls-key, --tls-self-signed, or a proxy that encrypts in front of it",
    )
}

fn until(path: &Path, end: SystemTime, now: SystemTime, remedy: &str) -> Check {
    let (subject, path) = ("certificate", path.display());
    let Ok(left) = end.duration_since(now) else {
        return Check::failure(subject, format!("{path} has expired"), remedy);
    };
    let days = left.as_secs() / DAY;
    let found = format!("{path} is good for {days} more days");
    if days < FEW_DAYS { Check::warning(subject, found, remedy) } else { Check::ok(subject, found) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::{
        config::{Environment, Flags, load},
        doctor::Outcome,
    };

    fn mk_config(folder: &Path, more: &[(&'static str, &str)]) -> Config {
        let flags = Flags::default().with("data_dir", folder.to_str().unwrap());
        let flags = more.iter().fold(flags, |flags, (name, value)| flags.with(name, *value));
        load(&flags, &Environment::default(), None).unwrap()
    }

    #[test]
    fn a_data_folder_may_be_missing_and_must_be_plugds_alone() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        let look = || folder(DATA, &data);
        assert!(look().found.contains("not there yet"), "{:?}", look());
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(
            (look().outcome, look().remedy.unwrap()),
            (Outcome::Warning, format!("chmod 700 {}", data.display()))
        );
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(look().outcome, Outcome::Ok);
        fs::write(data.join("file"), "").unwrap();
        assert_eq!(folder(DATA, &data.join("file")).outcome, Outcome::Failure);
        assert_eq!(folder(DATA, &data.join("file/none")).outcome, Outcome::Failure);
    }

    #[test]
    fn a_disk_that_is_nearly_full_is_told_before_it_is() {
        let mut disk = statvfs("/").unwrap();
        let mut tell = |blocks, files| {
            (disk.f_frsize, disk.f_bavail, disk.f_files, disk.f_favail) = (1, blocks, 1 << 20, files);
            disk.f_flag = StatVfsMountFlags::empty();
            room(Path::new("/"), &disk).outcome
        };
        assert_eq!(tell(NO_ROOM - 1, FEW_FILES), Outcome::Failure);
        assert_eq!(tell(NO_ROOM, FEW_FILES), Outcome::Warning);
        assert_eq!(tell(LITTLE_ROOM, FEW_FILES), Outcome::Ok);
        assert_eq!(tell(LITTLE_ROOM, FEW_FILES - 1), Outcome::Warning);
        disk.f_flag = StatVfsMountFlags::RDONLY;
        assert_eq!(room(Path::new("/"), &disk).outcome, Outcome::Failure);
    }

    #[test]
    fn a_certificate_has_a_number_of_days() {
        let (now, path) = (SystemTime::now(), Path::new("cert.pem"));
        let tell = |days: u64| until(path, now + Duration::from_secs(days * DAY), now, "renew it");
        assert_eq!((tell(20).outcome, tell(FEW_DAYS - 1).outcome), (Outcome::Ok, Outcome::Warning));
        assert!(tell(20).found.contains("20 more days"), "{:?}", tell(20));
        assert_eq!(until(path, now - Duration::from_secs(1), now, "renew it").outcome, Outcome::Failure);
    }

    #[test]
    fn a_server_in_the_clear_that_others_reach_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let tell = |listen| certificate(&mk_config(folder.path(), &[("listen", listen)])).unwrap().outcome;
        assert_eq!((tell("127.0.0.1:8000"), tell("0.0.0.0:8000")), (Outcome::Ok, Outcome::Warning));
    }

    #[test]
    fn a_secret_in_the_data_folder_is_hidden_and_one_elsewhere_is_not() {
        let home = tempfile::tempdir().unwrap();
        let (data, key) = (home.path().join("data"), home.path().join("key.pem"));
        fs::create_dir(&data).unwrap();
        fs::write(&key, "").unwrap();
        fs::write(data.join("key.pem"), "").unwrap();
        let of = |key: &Path| secrets(&mk_config(&data, &[("tls_key", key.to_str().unwrap())]), None);
        assert_eq!(of(&data.join("key.pem")), []);
        assert_eq!(of(&key), [("the certificate's key".to_owned(), fs::canonicalize(&key).unwrap())]);
    }

    #[tokio::test]
    async fn a_database_is_looked_at_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugd.db");
        let address = Address::file(&path).unwrap();
        assert!(database(&address, None).await.found.contains("the first start makes it"));
        fs::write(&path, "this is no database, however long one looks at it").unwrap();
        let found = database(&address, None).await;
        assert!(found.outcome == Outcome::Failure && found.found.contains("damaged"), "{found:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is made beside it");
        fs::write(folder.path().join("plugd.db-wal"), "").unwrap();
        let found = database(&address, None).await;
        assert!(found.outcome == Outcome::Ok && found.found.contains("not looked at"), "{found:?}");
    }
}
