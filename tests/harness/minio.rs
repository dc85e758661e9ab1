//! A real S3: MinIO, built from its source once per machine and started by the harness.

use crate::broker::free_port;
use crate::lake::Lake;
use crate::process::Leashed;
use crate::{cache, command, wait};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const MODULE: &str = "github.com/minio/minio";
/// By time and commit, since the tags of MinIO are not of the form that Go wants. Building it takes minutes, once.
const VERSION: &str = "v0.0.0-20260212201848-7aac2a2c5b7c";
const START_LIMIT: Duration = Duration::from_secs(60);

/// Who may do everything.
pub const ACCESS_KEY: &str = "lakeward-tests";
/// Their password.
pub const SECRET_KEY: &str = "lakeward-tests-secret";
/// The bucket that there is from the start.
pub const BUCKET: &str = "lake";

/// One server, on a port and in a folder of its own.
pub struct Minio {
    _folder: TempDir,
    port: u16,
    _process: Leashed,
}

impl Minio {
    /// Starts a server with an empty bucket; builds it first where the cache has none.
    ///
    /// # Errors
    /// When it cannot be built or does not come up.
    pub fn start() -> Result<Self> {
        let binary = binary()?;
        let folder = tempfile::Builder::new().prefix("lakeward-minio-").tempdir()?;
        // A folder in the root is a bucket: nobody has to sign a request to make one.
        fs::create_dir_all(folder.path().join("data").join(BUCKET))?;
        let port = free_port()?;
        let log = folder.path().join("minio.log");
        let output = File::create(&log)?;
        let mut server = Command::new(binary);
        server
            .args(["server", "--quiet", "--address", &format!("127.0.0.1:{port}")])
            .args(["--console-address", &format!("127.0.0.1:{}", free_port()?)])
            .arg(folder.path().join("data"))
            .env("MINIO_ROOT_USER", ACCESS_KEY)
            .env("MINIO_ROOT_PASSWORD", SECRET_KEY)
            .env("MINIO_BROWSER", "off")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let mut process = Leashed::spawn(&mut server)?;
        let healthy = format!("http://127.0.0.1:{port}/minio/health/ready");
        wait::until_true(START_LIMIT, "MinIO to answer", || {
            if let Some(status) = process.ended()? {
                bail!("MinIO ended ({status}): {}", command::tail(&fs::read_to_string(&log)?, 30));
            }
            Ok(TcpStream::connect(("127.0.0.1", port)).is_ok()
                && crate::http::get(&healthy, None).is_ok_and(|answer| answer.status == 200))
        })?;
        Ok(Self { _folder: folder, port, _process: process })
    }

    /// The server's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// A lake below `prefix` in the bucket, with all that a reader needs to know.
    #[must_use]
    pub fn lake(&self, prefix: &str) -> Lake {
        lake_at(self.address(), prefix)
    }
}

/// A lake below `prefix`, reached through `address`: the server's own, or that of a proxy before it.
#[must_use]
pub fn lake_at(address: SocketAddr, prefix: &str) -> Lake {
    let options = [
        ("aws_endpoint", format!("http://{address}")),
        ("aws_region", "us-east-1".to_owned()),
        ("aws_access_key_id", ACCESS_KEY.to_owned()),
        ("aws_secret_access_key", SECRET_KEY.to_owned()),
        ("allow_http", "true".to_owned()),
    ];
    let options: BTreeMap<String, String> = options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Lake { location: format!("s3://{BUCKET}/{prefix}"), options }
}

/// Go, as found in the path or where its own installer puts it.
#[must_use]
pub fn go() -> Option<PathBuf> {
    let places = [PathBuf::from("go"), Path::new("/usr/local/go/bin").join("go")];
    places.into_iter().find(|go| command::works(Command::new(go).arg("version")))
}

/// The name of the cache's folder with the binary.
fn folder_name() -> String {
    format!("minio-{VERSION}")
}

/// Whether a server was built on this machine before.
#[must_use]
pub fn is_built() -> bool {
    cache::root().is_ok_and(|root| root.join(folder_name()).is_dir())
}

fn binary() -> Result<PathBuf> {
    Ok(cache::folder(&folder_name(), fetch)?.join("minio"))
}

/// Builds the server. Go fetches a newer version of itself where MinIO asks for one.
fn fetch(home: &Path) -> Result<()> {
    let go = go().context("Go is missing")?;
    let mut install = Command::new(go);
    install.args(["install", "-ldflags=-s -w", &format!("{MODULE}@{VERSION}")]);
    install.env("GOBIN", home).env("GOTOOLCHAIN", "auto").env("GOFLAGS", "-trimpath").env("CGO_ENABLED", "0");
    command::output(&mut install)?;
    Ok(())
}
