//! Where sealed files lie: the folder `data/attachments`, or a bucket that speaks S3.
//!
//! A bucket is named by `KIEUMAU_ATTACHMENTS=s3://BUCKET/PREFIX`; how it is reached is what every S3 tool reads from its
//! environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL`,
//! `AWS_ALLOW_HTTP`, or the role of the machine). The keys go straight into the client and stand in no structure of ours.
//!
//! Nothing is ever moved: an upload's object has the upload's name from its first byte, and the row of the attachment says
//! which object it is. So no transaction waits for a copy over the network, and every object is known to a row.

use super::store::StoreError;
use kieumau_core::{hash::Sha256, id::UnitId};
use object_store::{
    ObjectStore, ObjectStoreExt as _, PutMode, RetryConfig, aws::AmazonS3Builder,
    buffered::BufWriter, local::LocalFileSystem, path::Path, prefix::PrefixStore,
};
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

/// What is held back of a file before it goes out in parts: below it a file is one request, above it one per this much.
const PART_BYTES: usize = 5 << 20;
/// Parts on their way at a time.
const PARTS: usize = 2;
/// A store that does not answer for this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The store of sealed files; cheap to clone.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    /// How it is called, without anything secret.
    name: String,
    /// The folder, if it is one.
    folder: Option<PathBuf>,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Objects({})", self.name)
    }
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Where an upload's sealed file lies: `UNIT/ab/abcd….UPLOAD`. The hash is for the administrator's eye.
pub fn object_name(unit: UnitId, sha256: Sha256, upload: impl fmt::Display) -> String {
    let hash = sha256.to_string();
    format!("{unit}/{}/{hash}.{upload}", &hash[..2])
}

impl Objects {
    /// The bucket that `url` names, or the folder without one. Asks nothing yet.
    ///
    /// # Errors
    /// What the disk says, or what is missing in the environment.
    pub fn open(url: Option<&str>, folder: PathBuf) -> Result<Self, StoreError> {
        let Some(url) = url else {
            std::fs::create_dir_all(&folder)?;
            // A write that returned is on the disk, its name too.
            let store = LocalFileSystem::new_with_prefix(&folder)?.with_fsync(true);
            return Ok(Self {
                store: Arc::new(store),
                name: folder.display().to_string(),
                folder: Some(folder),
            });
        };
        let retry = RetryConfig {
            retry_timeout: PATIENCE,
            ..RetryConfig::default()
        };
        let bucket = AmazonS3Builder::from_env()
            .with_url(url)
            .with_retry(retry)
            .build()?;
        let prefix = url.splitn(4, '/').nth(3).unwrap_or_default();
        Ok(Self {
            store: Arc::new(PrefixStore::new(bucket, prefix)),
            name: url.to_owned(),
            folder: None,
        })
    }

    /// Writes an object from front to back, in place of one of this name. There is nothing of it before `shutdown`.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn writer(&self, name: &str) -> Result<BufWriter, StoreError> {
        self.remove_unfinished(name).await?;
        let store = Arc::clone(&self.store);
        let writer = BufWriter::with_capacity(store, Path::from(name), PART_BYTES);
        Ok(writer.with_max_concurrency(PARTS))
    }

    /// Writes a small object if there is none of this name; one that is there stays.
    ///
    /// # Errors
    /// What the store says.
    pub async fn create(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let done = self
            .store
            .put_opts(&Path::from(name), bytes.into(), PutMode::Create.into())
            .await;
        match done {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes an object, and what a crash left of writing it; of a bucket's unfinished parts its own lifecycle rule takes
    /// care. One that is not there is removed.
    ///
    /// # Errors
    /// What the store says.
    pub async fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.remove_unfinished(name).await?;
        match self.store.delete(&Path::from(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether there is an object of this name.
    ///
    /// # Errors
    /// What the store says.
    pub async fn holds(&self, name: &str) -> Result<bool, StoreError> {
        match self.store.head(&Path::from(name)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The store itself, for reading.
    pub(super) fn store(&self) -> &dyn ObjectStore {
        &*self.store
    }

    /// Removes what the folder's store writes before it gives it its name: `NAME#1`.
    async fn remove_unfinished(&self, name: &str) -> std::io::Result<()> {
        let Some(path) = self.folder.as_ref().map(|folder| folder.join(name)) else {
            return Ok(());
        };
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(());
        };
        let unfinished = format!("{}#", name.to_string_lossy());
        let mut files = match tokio::fs::read_dir(folder).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            files => files?,
        };
        while let Some(file) = files.next_entry().await? {
            if file.file_name().to_string_lossy().starts_with(&unfinished) {
                tokio::fs::remove_file(file.path()).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl Objects {
    /// The names of all objects.
    pub async fn names(&self) -> Vec<String> {
        use futures_util::TryStreamExt as _;
        let objects: Vec<_> = self.store.list(None).try_collect().await.expect("a list");
        let names = objects.into_iter().map(|object| object.location);
        names.map(|name| name.to_string()).collect()
    }

    /// An object whole.
    pub async fn read(&self, name: &str) -> Vec<u8> {
        let object = self.store.get(&Path::from(name)).await.expect("an object");
        object.bytes().await.expect("its bytes").to_vec()
    }

    /// Puts other bytes in an object's place.
    pub async fn replace(&self, name: &str, bytes: Vec<u8>) {
        let path = Path::from(name);
        self.store.put(&path, bytes.into()).await.expect("replaced");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn an_object_created_twice_is_the_first_one() {
        for app in fixture::apps().await {
            app.objects.create("one", vec![1]).await.expect("created");
            app.objects.create("one", vec![2]).await.expect("is there");
            assert_eq!(app.objects.read("one").await, [1]);
            // The twin: it is create, not the store, that keeps the first.
            app.objects.replace("one", vec![2]).await;
            assert_eq!(app.objects.read("one").await, [2]);
        }
    }

    #[tokio::test]
    async fn a_large_object_goes_out_in_parts_and_is_not_there_before_its_end() {
        for app in fixture::apps().await {
            let bytes: Vec<u8> = (0..2 * PART_BYTES + 7).map(|at| (at % 251) as u8).collect();
            let mut writer = app.objects.writer("large").await.expect("a writer");
            writer.write_all(&bytes).await.expect("written");
            assert_eq!(app.objects.names().await, Vec::<String>::new());
            writer.shutdown().await.expect("ended");
            assert_eq!(app.objects.read("large").await, bytes);
        }
    }

    #[tokio::test]
    async fn an_object_is_removed_once_or_twice_and_what_a_crash_left_of_it_too() {
        for app in fixture::apps().await {
            app.objects.create("a/one", vec![1]).await.expect("created");
            app.objects
                .create("a/one2", vec![1])
                .await
                .expect("created");
            let folder = app.objects.folder.clone();
            if let Some(folder) = &folder {
                std::fs::write(folder.join("a/one#1"), [1]).expect("written");
            }
            app.objects.remove("a/one").await.expect("removed");
            app.objects.remove("a/one").await.expect("is not there");
            assert_eq!(app.objects.names().await, ["a/one2"]);
            assert!(folder.is_none_or(|folder| !folder.join("a/one#1").exists()));
        }
    }

    #[tokio::test]
    async fn what_is_said_of_a_bucket_holds_no_key() {
        let secrets: Vec<String> = ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"]
            .into_iter()
            .filter_map(|name| std::env::var(name).ok())
            .collect();
        for app in fixture::apps().await {
            let said = format!("{:?} {}", *app, app.objects);
            assert!(said.contains(&app.objects.name));
            assert!(secrets.iter().all(|secret| !said.contains(secret)));
        }
    }
}
