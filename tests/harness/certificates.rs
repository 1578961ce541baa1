//! Certificates for one test.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

/// A folder with an authority (`ca.pem`), a server for 127.0.0.1 (`server.pem`, `server.key`) and a client
/// (`client.pem`, `client.key`) that it vouches for; and another server for 127.0.0.1 (`own.pem`, `own.key`) with what
/// `openssl req -x509` makes.
pub(crate) struct Certificates(TempDir);

impl Certificates {
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let mut authority = CertificateParams::default();
        // With a name of its own: what has the name of its issuer counts as self-signed.
        authority.distinguished_name.push(DnType::CommonName, "authority of a test");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        folder.write("ca.pem", &authority.self_signed(&key).unwrap().pem());
        folder.certify_itself("own", "127.0.0.1");
        let issuer = Issuer::new(authority, key);
        folder.certify("server", "127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth, &issuer);
        folder.certify("client", "operator", ExtendedKeyUsagePurpose::ClientAuth, &issuer);
        folder
    }

    /// A server that shows the certificate `server`, for clients of gRPC.
    pub(crate) fn endpoint(&self, url: &str) -> Endpoint {
        let authority = Certificate::from_pem(fs::read(self.path("ca.pem")).unwrap());
        let trust = ClientTlsConfig::new().ca_certificate(authority);
        Endpoint::from_shared(url.to_owned()).unwrap().tls_config(trust).unwrap()
    }

    /// The path of one of the files.
    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn certify(&self, name: &str, subject: &str, purpose: ExtendedKeyUsagePurpose, issuer: &Issuer<'_, KeyPair>) {
        let mut params = CertificateParams::new([subject.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, subject);
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        self.write(&format!("{name}.pem"), &params.signed_by(&key, issuer).unwrap().pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    fn certify_itself(&self, name: &str, subject: &str) {
        let mut params = CertificateParams::new([subject.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        self.write(&format!("{name}.pem"), &params.self_signed(&key).unwrap().pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }
}
