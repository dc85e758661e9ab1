//! The lake's location: one object store, opened from a path or URL, under which every table stands.

use super::Error;
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use futures::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use url::Url;

/// A file longer than this goes up in parts: what fails is sent again part by part, and no request takes longer than a store or a
/// proxy on the way allows.
const WHOLE_UP_TO: usize = 16 << 20;

/// Bytes of a part; S3 takes no fewer than 5 MiB, and no more than 10,000 of them.
const PART: usize = 8 << 20;

/// Parts of a file on their way at the same time.
const PARTS_AT_ONCE: usize = 4;

/// Where the tables stand.
#[derive(Debug, Clone)]
pub struct Warehouse {
    root: Arc<dyn ObjectStore>,
    url: Url,
    prefix: Path,
    local: Option<PathBuf>,
}

impl Warehouse {
    /// Opens a location: a path, `file://`, `s3://`, `gs://` or `az://`, with the options of the `object_store` crate. Credentials that the
    /// options do not give come from the environment, as that crate reads it.
    ///
    /// # Errors
    /// When the location is not one of these, or a local folder cannot be made.
    pub fn open(location: &str, options: &BTreeMap<String, String>) -> Result<Self, Error> {
        let warehouse = Self::at(location, options)?;
        if let Some(folder) = &warehouse.local {
            std::fs::create_dir_all(folder)
                .map_err(|source| Error::Folder { folder: folder.display().to_string(), source })?;
        }
        Ok(warehouse)
    }

    /// Whether the location can be opened, as far as that can be told without leaving anything behind: that of a remote store only by its
    /// form, since nobody is contacted.
    ///
    /// # Errors
    /// When [`Self::open`] would fail, or the local folder could not be written.
    pub fn check(location: &str, options: &BTreeMap<String, String>) -> Result<(), Error> {
        let Some(folder) = Self::at(location, options)?.local else { return Ok(()) };
        let failed = |source| Error::Folder { folder: folder.display().to_string(), source };
        // What is missing of the path would be made below what there is of it.
        let plain: PathBuf = folder.components().collect();
        let there = plain.ancestors().find(|folder| folder.symlink_metadata().is_ok()).unwrap_or(&plain);
        let probe = there.join(format!(".lakeward-check-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&probe).and_then(|()| std::fs::remove_dir(&probe)).map_err(failed)
    }

    /// The same as [`Self::open`] without making anything: for those who only read.
    ///
    /// # Errors
    /// When the location is not one of those that [`Self::open`] takes.
    pub fn at(location: &str, options: &BTreeMap<String, String>) -> Result<Self, Error> {
        let url = parse(location)?;
        if url.scheme() == "file" {
            let folder = url.to_file_path().map_err(|()| Error::Location { location: location.to_owned() })?;
            let prefix = Path::from_absolute_path(&folder).map_err(|e| Error::Store(e.into()))?;
            let root = Arc::new(object_store::local::LocalFileSystem::new());
            return Ok(Self { root, url, prefix, local: Some(folder) });
        }
        let unfit = |source| Error::Options { location: location.to_owned(), source };
        options.keys().try_for_each(|key| known(&url, &key.to_ascii_lowercase())).map_err(unfit)?;
        let environment = std::env::vars()
            .map(|(key, value)| (key.to_ascii_lowercase(), value))
            .filter(|(key, _)| ["aws_", "google_", "azure_"].iter().any(|prefix| key.starts_with(prefix)));
        let given = options.iter().map(|(key, value)| (key.clone(), value.clone()));
        let all: BTreeMap<String, String> = environment.chain(given).collect();
        let (store, prefix) = object_store::parse_url_opts(&url, all).map_err(unfit)?;
        Ok(Self { root: Arc::from(store), url, prefix, local: None })
    }

    /// Proves that the location can be written and read, before anything depends on it.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn probe(&self) -> Result<(), Error> {
        // Several may start at the same time.
        let name = format!("probe-{}", uuid::Uuid::new_v4());
        let path = self.prefix.clone().join("_lakeward").join(name);
        self.root.put(&path, PutPayload::from_static(b"lakeward")).await.map_err(Error::Store)?;
        self.root.delete(&path).await.map_err(Error::Store)
    }

    /// Writes an object beside the tables, unless one of that name is there: then that one stays as it is.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put_new(&self, folder: &str, name: &str, bytes: bytes::Bytes) -> Result<(), Error> {
        let store = self.table_store(folder);
        // A store may refuse a large object before it has read it, and cut the connection: that looks like a failure, again and again.
        if store.store.head(&Path::from(name)).await.is_ok() {
            return Ok(());
        }
        match store.create(name, bytes).await {
            Ok(()) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(source) => Err(Error::Store(source)),
        }
    }

    /// Reads an object beside the tables; `None` if there is none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn get(&self, folder: &str, name: &str) -> Result<Option<bytes::Bytes>, Error> {
        let found = match self.table_store(folder).store.get(&Path::from(name)).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(Error::Store(source)),
        };
        found.bytes().await.map(Some).map_err(Error::Store)
    }

    /// The URL of the table at `path`.
    #[must_use]
    pub fn table_url(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        url
    }

    /// The object store that has the table at `path` as its root.
    pub(super) fn table_store(&self, path: &str) -> TableStore {
        let prefix = path.split('/').fold(self.prefix.clone(), |prefix, part| prefix.join(part));
        let store = Arc::new(PrefixStore::new(Arc::clone(&self.root), prefix));
        TableStore { store, local: self.local.as_ref().map(|folder| folder.join(path)) }
    }

    /// The deltalake crate's view of the table at `path`.
    pub(super) fn log_store(&self, path: &str) -> LogStoreRef {
        let prefixed = self.table_store(path).store;
        default_logstore(prefixed, Arc::clone(&self.root), &self.table_url(path), &StorageConfig::default())
    }
}

/// The files of one table.
#[derive(Debug, Clone)]
pub(super) struct TableStore {
    pub(super) store: Arc<dyn ObjectStore>,
    local: Option<PathBuf>,
}

impl TableStore {
    /// Writes a data file. On a local file system the file is synced, since a commit must not outlive its files in a power cut.
    pub(super) async fn put(&self, path: &str, bytes: bytes::Bytes) -> Result<(), object_store::Error> {
        let location = Path::from(path);
        if self.local.is_none() && bytes.len() > WHOLE_UP_TO {
            return self.put_parts(&location, bytes).await;
        }
        self.store.put(&location, bytes.into()).await?;
        self.sync(path).await
    }

    /// Writes a file in parts, which are slices of it and need no memory of their own. It is there when all parts are.
    async fn put_parts(&self, location: &Path, mut bytes: bytes::Bytes) -> Result<(), object_store::Error> {
        let mut upload = self.store.put_multipart(location).await?;
        let mut parts = Vec::with_capacity(bytes.len().div_ceil(PART));
        while !bytes.is_empty() {
            parts.push(upload.put_part(bytes.split_to(PART.min(bytes.len())).into()));
        }
        let sent = futures::stream::iter(parts).buffer_unordered(PARTS_AT_ONCE).try_collect::<Vec<()>>().await;
        let completed = match sent {
            Ok(_) => upload.complete().await.map(drop),
            Err(error) => Err(error),
        };
        if completed.is_err() {
            // Parts cost money until they are dropped. Where this fails too, or the upload was complete after all, it changes nothing.
            let _ = upload.abort().await;
        }
        completed
    }

    /// Creates a file unless it exists.
    pub(super) async fn create(&self, path: &str, bytes: bytes::Bytes) -> Result<(), object_store::Error> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        self.store.put_opts(&Path::from(path), bytes.into(), options).await?;
        self.sync(path).await
    }

    async fn sync(&self, path: &str) -> Result<(), object_store::Error> {
        let Some(folder) = &self.local else { return Ok(()) };
        let file = folder.join(path);
        let synced = tokio::task::spawn_blocking(move || {
            std::fs::File::open(&file)?.sync_data()?;
            file.parent().map_or(Ok(()), |parent| std::fs::File::open(parent)?.sync_data())
        })
        .await;
        match synced {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(object_store::Error::Generic { store: "local", source: source.into() }),
            Err(source) => Err(object_store::Error::JoinError { source }),
        }
    }
}

/// Whether the store at a location has an option of that name: the crate would pass over one that it does not know.
fn known(url: &Url, key: &str) -> Result<(), object_store::Error> {
    match url.scheme() {
        "s3" | "s3a" => AmazonS3ConfigKey::from_str(key).map(|_| ()),
        "gs" => GoogleConfigKey::from_str(key).map(|_| ()),
        _ => AzureConfigKey::from_str(key).map(|_| ()),
    }
}

fn parse(location: &str) -> Result<Url, Error> {
    let unknown = || Error::Location { location: location.to_owned() };
    if !location.contains("://") {
        let path = std::path::absolute(location).map_err(|_| unknown())?;
        return Url::from_directory_path(path).map_err(|()| unknown());
    }
    let url = Url::parse(location).map_err(|_| unknown())?;
    match url.scheme() {
        "file" | "s3" | "s3a" | "gs" | "az" | "azure" | "abfs" | "abfss" => Ok(url),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_file_url() {
        assert_eq!(parse("/tmp/lake").unwrap().as_str(), "file:///tmp/lake/");
        assert_eq!(parse("s3://bucket/lake").unwrap().scheme(), "s3");
        assert!(matches!(parse("ftp://host/lake"), Err(Error::Location { .. })));
    }

    #[test]
    fn an_option_that_the_store_does_not_know_is_named() {
        let check = |location: &str, key: &str, is_known: bool| {
            let opened = Warehouse::at(location, &[(key.to_owned(), "30s".to_owned())].into());
            assert_eq!(opened.is_ok(), is_known, "{location} {key}: {opened:?}");
            assert!(is_known || format!("{opened:?}").contains(key), "{opened:?}");
        };
        check("s3://bucket/lake", "timeout", true);
        check("s3://bucket/lake", "AWS_REGION", true);
        check("s3://bucket/lake", "aws_acces_key_id", false);
        check("gs://bucket/lake", "timeout", true);
        check("gs://bucket/lake", "aws_region", false);
        check("az://container/lake", "azure_storage_account", false);
    }

    #[test]
    fn a_check_says_whether_a_folder_could_be_made_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path).display().to_string();
        let check = |path: &str| Warehouse::check(&at(path), &BTreeMap::new());
        check("not/there/yet").unwrap();
        check("").unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        std::fs::write(folder.path().join("file"), "in the way").unwrap();
        assert!(matches!(check("file/lake"), Err(Error::Folder { .. })));
        assert!(matches!(check("file"), Err(Error::Folder { .. })));
        Warehouse::check("s3://bucket/lake", &BTreeMap::new()).unwrap();
    }

    #[test]
    fn a_table_stands_below_the_location() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Warehouse::open(folder.path().to_str().unwrap(), &BTreeMap::new()).unwrap();
        let url = lake.table_url("silver/retail/sales");
        assert!(url.path().ends_with("/silver/retail/sales"), "{url}");
        assert!(!url.path().contains("//"), "{url}");
    }
}
