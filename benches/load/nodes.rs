//! Several plugd on one PostgreSQL.

#[path = "../../tests/harness/database.rs"]
mod database;

use std::{fs, net::TcpListener};

use plugd::api::v1::{GetServerRequest, Plugin, RotateTokenRequest};
use tempfile::TempDir;
use tonic::Status;

use self::database::{OneDatabase, Server};
use crate::server::{Plugd, Plugins};

/// How many there are.
pub(crate) const NODES: usize = 3;

/// What they know each other by.
const TOKEN: &str = "a-secret-of-the-cluster-of-32-characters-or-more";

/// The nodes. The first leads until it goes.
pub(crate) struct Nodes {
    // In this order: they go before what they need does.
    pub(crate) all: Vec<Plugd>,
    _database: OneDatabase,
    _folder: TempDir,
}

impl Nodes {
    pub(crate) async fn start() -> Self {
        let (database, folder) = (Server::start().database().await, tempfile::tempdir().unwrap());
        let token = folder.path().join("token");
        fs::write(&token, TOKEN).unwrap();
        let mut all: Vec<Plugd> = Vec::new();
        for _ in 0..NODES {
            let listen = free_address();
            let (url, address) = (database.url(), format!("http://{listen}"));
            let options =
                ["--database-url", &url, "--advertise", &address, "--cluster-token-file", token.to_str().unwrap()];
            all.push(Plugd::node(listen, options.map(str::to_owned).to_vec(), all.first()));
        }
        Self { all, _database: database, _folder: folder }
    }

    /// Which of them leads; none while none says so.
    pub(crate) async fn leader(&self) -> Option<usize> {
        for (number, node) in self.all.iter().enumerate() {
            let Ok(mut about) = node.about().await else { continue };
            let answer = about.get_server(GetServerRequest {}).await;
            let parts = answer.map_or_else(|_| Vec::new(), |answer| answer.into_inner().parts);
            if parts.iter().any(|part| part.name == "cluster" && part.found.starts_with("this node leads")) {
                return Some(number);
            }
        }
        None
    }
}

/// Changes a plugin that plugd does not run.
pub(crate) async fn change(client: &mut Plugins, id: &str) -> Result<Plugin, Status> {
    let request = RotateTokenRequest { plugin_id: id.to_owned(), if_generation: None };
    Ok(client.rotate_token(request).await?.into_inner().plugin.unwrap())
}

/// An address of the loopback that nobody listens on.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
