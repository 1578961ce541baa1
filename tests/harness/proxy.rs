//! Reverse proxies in front of a plugd, configured as `docs/reverse-proxy.md` has it. `make tools` unpacks them.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{Api, Certificates, Rest, cluster::free_address, command::tool, pages::shown, wait::eventually};

const PAGE: &str = "reverse-proxy.md";
/// Where a proxy says what is wrong.
const LOG: &str = "error.log";

/// A kind of proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    Nginx,
    Caddy,
}

/// A proxy that runs. It ends when it is dropped.
pub(crate) struct Proxy {
    pub(crate) kind: ProxyKind,
    pub(crate) url: String,
    certificates: Certificates,
    _folder: TempDir,
    _server: Child,
}

impl Proxy {
    /// Starts one in front of this address; `here` is what is another's in this test than on the page.
    pub(crate) async fn start(kind: ProxyKind, upstream: SocketAddr, here: &[(&str, &str)]) -> Self {
        let (folder, certificates, address) = (tempfile::tempdir().unwrap(), Certificates::new(), free_address());
        let upstream = upstream.to_string();
        let here = [here, &[("127.0.0.1:8000", upstream.as_str())]].concat();
        let mut command = match kind {
            ProxyKind::Nginx => nginx(folder.path(), address, &certificates, here),
            ProxyKind::Caddy => caddy(folder.path(), address, &certificates, here),
        };
        let log = fs::File::create(folder.path().join(LOG)).unwrap();
        let mut server = command.current_dir(folder.path()).stderr(log).spawn().unwrap();
        eventually("that the proxy listens", || {
            let said = || fs::read_to_string(folder.path().join(LOG));
            assert!(server.try_wait().unwrap().is_none(), "{kind:?}: {:?}", said());
            TcpStream::connect(address).ok()
        })
        .await;
        Self { kind, url: format!("https://{address}"), certificates, _folder: folder, _server: server }
    }

    /// A gRPC client that comes from 127.0.0.2, and the proxy from 127.0.0.1.
    pub(crate) fn api(&self, token: &str) -> Api {
        let endpoint = self.certificates.endpoint(&self.url).local_address(Some([127, 0, 0, 2].into()));
        Api::over(endpoint, Some(token))
    }

    /// A REST client that comes from there, too.
    pub(crate) fn rest(&self, token: Option<&str>) -> Rest {
        let trust = ["--cacert", &self.authority(), "--interface", "127.0.0.2"].map(str::to_owned);
        Rest::new(self.url.clone(), token).trusting(&trust)
    }

    /// The certificate of the authority that vouches for it.
    pub(crate) fn authority(&self) -> String {
        self.certificates.path("ca.pem")
    }
}

fn nginx(home: &Path, address: SocketAddr, certificates: &Certificates, here: Vec<(&str, &str)>) -> Command {
    let (listen, [certificate, key]) = (format!("listen {address} "), own(certificates));
    let paths =
        [("listen 443 ", &*listen), ("/etc/nginx/tls/plugd.pem", &certificate), ("/etc/nginx/tls/plugd.key", &key)];
    fs::write(home.join("plugd.conf"), shown(PAGE, "nginx", &[here, paths.to_vec()].concat())).unwrap();
    fs::write(home.join("nginx.conf"), NGINX).unwrap();
    let mut nginx = tool("nginx");
    nginx.arg("-p").arg(home).args(["-c", "nginx.conf"]);
    nginx
}

fn caddy(home: &Path, address: SocketAddr, certificates: &Certificates, here: Vec<(&str, &str)>) -> Command {
    let (site, [certificate, key]) = (format!("https://{address}"), own(certificates));
    let paths = [("plugd.example", &*site), ("/etc/caddy/plugd.pem", &certificate), ("/etc/caddy/plugd.key", &key)];
    let site = shown(PAGE, "caddyfile", &[here, paths.to_vec()].concat());
    fs::write(home.join("Caddyfile"), format!("{CADDY}{site}")).unwrap();
    let mut caddy = tool("caddy");
    caddy.args(["run", "--config", "Caddyfile"]).env("HOME", home);
    caddy
}

/// A proxy's own certificate and key.
fn own(certificates: &Certificates) -> [String; 2] {
    ["server.pem", "server.key"].map(|name| certificates.path(name))
}

/// What surrounds the page's part: Debian's has more of it, and keeps it elsewhere. One process, which ends with the test.
const NGINX: &str = "
daemon off;
master_process off;
error_log stderr;
pid nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include plugd.conf;
}
";

/// Nothing on ports that everybody would use.
const CADDY: &str = "{
    admin off
    auto_https disable_redirects
}
";
