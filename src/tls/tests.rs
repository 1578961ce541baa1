use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;
use tokio_rustls::rustls::{
    client::danger::ServerCertVerifier,
    pki_types::{ServerName, UnixTime},
};

use super::*;

/// A folder with an authority, a certificate that it vouches for, and its key.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.certify();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn files(&self) -> Files {
        let [certificate, key, authority] = ["cert.pem", "key.pem", "ca.pem"].map(|name| Some(self.path(name)));
        Files::of(certificate, key, authority).unwrap().unwrap()
    }

    /// Writes another certificate; two in the same instant are told apart too.
    fn certify(&self) {
        let authority = KeyPair::generate().unwrap();
        let issuer = Issuer::new(CertificateParams::default(), authority);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let ca = CertificateParams::default().self_signed(issuer.key()).unwrap();
        self.write("ca.pem", &ca.pem());
        self.write("cert.pem", &certificate.pem());
        self.write("key.pem", &key.serialize_pem());
    }

    fn write(&self, name: &str, text: &str) {
        let before = fs::metadata(self.path(name)).and_then(|found| found.modified()).ok();
        let later = before.map(|before| before.max(SystemTime::now()) + std::time::Duration::from_secs(1));
        self.write_at(name, text, later.unwrap_or_else(SystemTime::now));
    }

    fn write_at(&self, name: &str, text: &str, time: SystemTime) {
        fs::write(self.path(name), text).unwrap();
        fs::File::options().write(true).open(self.path(name)).unwrap().set_modified(time).unwrap();
    }
}

#[test]
fn a_setting_that_lacks_another_says_which() {
    let path = || Some(PathBuf::from("x"));
    let message = |files: Result<Option<Files>>| files.unwrap_err().to_string();
    assert_eq!(message(Files::of(path(), None, None)), "--tls-cert needs --tls-key");
    assert_eq!(message(Files::of(None, path(), None)), "--tls-key needs --tls-cert");
    assert_eq!(message(Files::of(None, None, path())), "--tls-client-ca needs --tls-cert");
    assert_eq!(Files::of(None, None, None).unwrap(), None);
}

#[test]
fn a_file_that_can_not_be_used_is_named() {
    for (name, what) in [("cert.pem", "certificates"), ("key.pem", "a private key"), ("ca.pem", "certificates")] {
        let folder = Folder::new();
        folder.write(name, "nothing of that kind");
        let message = Certificates::open(folder.files()).unwrap_err().to_string();
        assert!(message.starts_with(&format!("can't read {what} from {}", folder.path(name).display())), "{message}");
        fs::remove_file(folder.path(name)).unwrap();
        let message = Certificates::open(folder.files()).unwrap_err().to_string();
        assert!(message.starts_with(&format!("can't read {what} from {}", folder.path(name).display())), "{message}");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (folder, other) = (Folder::new(), Folder::new());
    fs::copy(other.path("key.pem"), folder.path("key.pem")).unwrap();
    let error = Certificates::open(folder.files()).unwrap_err();
    assert!(matches!(error, Error::Unusable(_)), "{error}");
}

#[tokio::test]
async fn new_connections_get_a_renewed_certificate() {
    let folder = Folder::new();
    let mut certificates = Certificates::open(folder.files()).unwrap();
    let server = certificates.server();
    let first = Arc::clone(&server.borrow());

    assert!(!certificates.look(false).await.unwrap());
    assert!(Arc::ptr_eq(&first, &server.borrow()));

    folder.certify();
    assert!(certificates.look(false).await.unwrap());
    assert!(!Arc::ptr_eq(&first, &server.borrow()));
}

#[tokio::test]
async fn who_asks_has_the_files_read_though_they_are_the_same_and_is_told_again_what_is_wrong() {
    let folder = Folder::new();
    let mut certificates = Certificates::open(folder.files()).unwrap();
    assert!(certificates.look(true).await.unwrap());
    folder.write("cert.pem", "half a certif");
    for is_asked in [false, true, true] {
        assert!(certificates.look(is_asked).await.is_err());
    }
}

#[tokio::test]
async fn a_renewal_that_can_not_be_used_is_said_once_and_the_old_certificate_stays() {
    let folder = Folder::new();
    let mut certificates = Certificates::open(folder.files()).unwrap();
    let server = certificates.server();
    let first = Arc::clone(&server.borrow());
    folder.write("cert.pem", "half a certif");

    assert!(certificates.look(false).await.is_err());
    assert!(!certificates.look(false).await.unwrap());
    assert!(Arc::ptr_eq(&first, &server.borrow()));
}

#[tokio::test]
async fn what_could_not_be_read_for_a_moment_is_read_again_though_its_time_is_the_same() {
    let folder = Folder::new();
    let mut certificates = Certificates::open(folder.files()).unwrap();
    let server = certificates.server();
    let first = Arc::clone(&server.borrow());
    folder.certify();
    let whole = fs::read_to_string(folder.path("cert.pem")).unwrap();
    let written = fs::metadata(folder.path("cert.pem")).unwrap().modified().unwrap();
    folder.write_at("cert.pem", "half a certif", written);
    assert!(certificates.look(false).await.is_err());

    folder.write_at("cert.pem", &whole, written);

    assert!(certificates.look(false).await.unwrap());
    assert!(!Arc::ptr_eq(&first, &server.borrow()));
}

#[test]
fn only_addresses_of_the_web_can_be_dialled() {
    let trust = Trust::default();
    endpoint("http://127.0.0.1:1", &trust).unwrap();
    endpoint("https://plugd.example", &trust).unwrap();
    for address in ["ftp://127.0.0.1", "127.0.0.1", "http://", ""] {
        let error = endpoint(address, &trust).unwrap_err();
        assert!(matches!(error, Error::Address(..)), "{address}: {error}");
    }
}

#[test]
fn what_a_client_lacks_is_said() {
    let folder = Folder::new();
    let message = |trust: &Trust| endpoint("https://localhost", trust).unwrap_err().to_string();
    let lonely = Trust { certificate: Some(folder.path("cert.pem")), ..Trust::default() };
    assert_eq!(message(&lonely), "the client's certificate needs its key");
    let missing = Trust { authority: Some(folder.path("gone.pem")), ..Trust::default() };
    assert!(message(&missing).starts_with("can't read certificates from "), "{}", message(&missing));
}

#[test]
fn a_certificate_of_a_client_that_can_not_be_used_is_no_fault_of_the_address() {
    let (folder, other) = (Folder::new(), Folder::new());
    let trust = |key: PathBuf| Trust { certificate: Some(folder.path("cert.pem")), key: Some(key), ..Trust::default() };
    let dial = |key| endpoint("https://localhost", &trust(key)).map(drop);
    dial(folder.path("key.pem")).unwrap();
    let message = dial(other.path("key.pem")).unwrap_err().to_string();
    assert!(message.starts_with("the certificate and its key can't be used: "), "{message}");
}

#[test]
fn files_with_a_byte_order_mark_and_line_ends_of_windows_are_taken() {
    let folder = Folder::new();
    for name in ["cert.pem", "key.pem", "ca.pem"] {
        let text = fs::read_to_string(folder.path(name)).unwrap();
        folder.write(name, &format!("\u{feff}{}", text.replace('\n', "\r\n")));
    }
    Certificates::open(folder.files()).unwrap();
    let [authority, certificate, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| Some(folder.path(name)));
    endpoint("https://localhost:1", &Trust { authority, certificate, key, is_blind: false }).unwrap();
}

#[test]
fn what_is_no_file_or_another_encoding_is_said() {
    let folder = Folder::new();
    let utf16: Vec<u8> = "-----BEGIN".encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(folder.path("cert.pem"), utf16).unwrap();
    let message = Certificates::open(folder.files()).unwrap_err().to_string();
    assert!(message.contains("UTF-16"), "{message}");
    fs::remove_file(folder.path("key.pem")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, folder.path("key.pem"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let message = Certificates::open(folder.files()).unwrap_err().to_string();
    assert!(message.ends_with("key.pem: it is a named pipe, not a file"), "{message}");
}

/// A certificate that signed itself, by way of what `openssl req -x509` makes; and its file.
fn self_signed(folder: &Folder, names: &[&str], is_authority: bool, years: (i32, i32)) -> PathBuf {
    let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
    if is_authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params.distinguished_name.push(DnType::CommonName, "localhost");
    (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
    let name = format!("{}-{is_authority}-{}.pem", names.join("-"), years.1);
    folder.write(&name, &params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem());
    folder.path(&name)
}

/// Is this certificate taken for localhost by who lists those?
fn is_taken(own: &Path, listed: &[&Path]) -> bool {
    let read = |path: &Path| certificates(path).unwrap();
    let verifier = client::Verifier::new(listed.iter().flat_map(|path| read(path)).collect()).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    verifier.verify_server_cert(&read(own)[0], &[], &name, &[], UnixTime::now()).is_ok()
}

#[test]
fn a_certificate_that_is_listed_itself_is_taken_though_it_is_an_authority_or_has_no_name() {
    let folder = Folder::new();
    for (names, is_authority) in [(&["localhost"][..], true), (&[], true), (&["localhost"], false), (&[], false)] {
        let own = self_signed(&folder, names, is_authority, (2000, 4000));
        assert!(is_taken(&own, &[&folder.path("ca.pem"), &own]), "{names:?}, {is_authority}");
        assert!(!is_taken(&own, &[&folder.path("ca.pem")]), "another's: {names:?}, {is_authority}");
    }
}

#[test]
fn a_certificate_that_is_listed_is_not_taken_for_another_name_or_after_its_time() {
    let folder = Folder::new();
    for is_authority in [true, false] {
        for (names, years) in [
            (&["example.org"][..], (2000, 4000)),
            (&["localhost"], (2000, 2001)),
            (&[], (2000, 2001)),
            (&["localhost"], (3000, 4000)),
        ] {
            let own = self_signed(&folder, names, is_authority, years);
            assert!(!is_taken(&own, &[&own]), "{names:?}, {is_authority}, {years:?}");
        }
    }
}

#[test]
fn the_end_of_a_certificate_is_read_whoever_vouches_for_it_and_also_when_it_is_over() {
    let folder = Folder::new();
    let (path, key) = (folder.path("cert.pem"), KeyPair::generate().unwrap());
    for (year, is_authority) in [(2001, false), (2031, false), (2031, true), (9999, false)] {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(year, 5, 6));
        params.is_ca = if is_authority { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
        folder.write("cert.pem", &params.self_signed(&key).unwrap().pem());
        assert_eq!(end_of(&path).unwrap(), SystemTime::from(date_time_ymd(year, 5, 6)), "{year} {is_authority}");
    }
    folder.write("cert.pem", "no certificate");
    assert!(matches!(end_of(&path), Err(Error::Unreadable { .. })));
}
