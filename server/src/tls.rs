//! TLS off loopback: rustls with the operator's certificate, or with one made here. Phones hold the server to its *key* (see
//! `kieumau_core::pin`), so the key stays and certificates come and go.
//!
//! A key made here lies in `tls.key` in the data folder, readable by its owner only; its certificate in `tls.pem` is made anew
//! from the same key before it ends. The next key, `tls-next.key`, is announced to phones before it takes over. A certificate
//! of the operator's is read again when its file changes, and taken if its key is the same.

pub mod listener;

use crate::{
    app::OpenError,
    command::failure::{Failure, unreadable},
};
use jiff::{ToSpan as _, civil::Date};
use kieumau_core::{hash::Sha256, pin};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

const KEY: &str = "tls.key";
const NEXT_KEY: &str = "tls-next.key";
const CERTIFICATE: &str = "tls.pem";

/// How long a certificate made here lasts, days: browsers take none above 825.
const LASTS_DAYS: i64 = 800;
/// It is made anew so many days before its end.
const AHEAD_DAYS: i64 = 60;

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The operator's: a chain and its private key, both PEM.
    Files {
        /// The chain, the server's own certificate first.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// Made in this folder, for these names or addresses.
    Made {
        /// The data folder.
        data: PathBuf,
        /// Host names and IP addresses.
        names: Vec<String>,
    },
}

/// TLS as this server speaks it.
#[derive(Clone, Debug)]
pub struct Tls {
    source: Source,
    provider: Arc<CryptoProvider>,
    shown: Arc<Shown>,
    /// The pin of its key, and of the next one where there is one.
    pub pins: Vec<Sha256>,
}

/// The certificate that handshakes show now.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(
            &self.0.read().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}

impl Tls {
    /// Reads or makes key and certificate.
    ///
    /// # Errors
    /// A sentence that names the file; what the disk says.
    pub fn open(source: Source, today: Date) -> Result<Self, OpenError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certified = source.certified(&provider, today)?;
        let mut pins = vec![pin_of(&certified)?];
        if let Source::Made { data, .. } = &source
            && let Some(next) = next_pin(data)?
        {
            pins.push(next);
        }
        let shown = Arc::new(Shown(RwLock::new(Arc::new(certified))));
        Ok(Self {
            source,
            provider,
            shown,
            pins,
        })
    }

    /// What a listener needs. HTTP/1.1 only, as without TLS.
    ///
    /// # Errors
    /// If the library knows none of its own protocols.
    pub fn config(&self) -> Result<ServerConfig, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Shows the certificate as it is now: the operator's if it was renewed, one made anew if ours ends soon.
    ///
    /// # Errors
    /// A sentence; the certificate before is shown then. Another key is an error: phones would refuse it, it takes a start.
    pub fn renew(&self, today: Date) -> Result<(), OpenError> {
        let certified = self.source.certified(&self.provider, today)?;
        if Some(&pin_of(&certified)?) != self.pins.first() {
            return Err("the certificate has another key: announce it to phones (--pin), then start the server again".into());
        }
        *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
        Ok(())
    }
}

impl Source {
    fn certified(&self, provider: &CryptoProvider, today: Date) -> Result<CertifiedKey, OpenError> {
        let (certificate, key) = match self {
            Self::Files { certificate, key } => (certificate.clone(), key.clone()),
            Self::Made { data, names } => {
                let key = data.join(KEY);
                let pair = made_key(&key)?;
                let certificate = data.join(CERTIFICATE);
                make_certificate(&certificate, &pair, names, today)?;
                (certificate, key)
            }
        };
        let chain = CertificateDer::pem_file_iter(&certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| not_pem(&certificate, &error))?;
        if chain.is_empty() {
            return Err(neither(&certificate).into());
        }
        let private = PrivateKeyDer::from_pem_file(&key).map_err(|error| not_pem(&key, &error))?;
        let certified = CertifiedKey::from_der(chain, private, provider);
        Ok(certified.map_err(|error| no_pair(&certificate, &key, &error))?)
    }
}

/// The pin of a certified key, which is its certificate's too.
fn pin_of(certified: &CertifiedKey) -> Result<Sha256, OpenError> {
    let spki = certified.key.public_key();
    let spki = spki.ok_or("this kind of private key does not tell its public one")?;
    Ok(pin::of_key(&spki))
}

/// The pin of the certificate in this file, or of the private key: what phones hold a proxy to.
///
/// # Errors
/// A sentence for a file that holds neither.
pub fn pin_in(path: &Path) -> Result<Sha256, OpenError> {
    if let Ok(certificate) = CertificateDer::from_pem_file(path) {
        let parsed = ParsedCertificate::try_from(&certificate).map_err(|_| neither(path))?;
        return Ok(pin::of_key(&parsed.subject_public_key_info()));
    }
    let key = PrivateKeyDer::from_pem_file(path).map_err(|error| not_pem(path, &error))?;
    let key = aws_lc_rs::default_provider()
        .key_provider
        .load_private_key(key)
        .map_err(|_| neither(path))?;
    let spki = key
        .public_key()
        .ok_or("this kind of private key does not tell its public one")?;
    Ok(pin::of_key(&spki))
}

/// Makes the key that is to follow the present one, and answers its pin. From the next start phones hear of it.
///
/// # Errors
/// What the disk says.
pub fn prepare_next(data: &Path) -> Result<Sha256, OpenError> {
    made_key(&data.join(NEXT_KEY))?;
    next_pin(data)?.ok_or_else(|| "the key that was just made is gone".into())
}

/// Lets the prepared key take the place of the present one. The next start speaks with it. Answers its pin, and under which name the key
/// before is kept, if there was one: beside those before it, for a phone may still hold the server to any of them.
///
/// # Errors
/// A sentence when none was prepared; what the disk says.
pub fn switch_to_next(data: &Path) -> Result<(Sha256, Option<String>), OpenError> {
    let pin = next_pin(data)?.ok_or_else(none_prepared)?;
    let present = data.join(KEY);
    let kept = present.exists().then(|| free_name(data));
    if let Some(name) = &kept {
        fs::rename(&present, data.join(name))?;
    }
    fs::rename(data.join(NEXT_KEY), present)?;
    // Its certificate is made at the next start.
    if data.join(CERTIFICATE).exists() {
        fs::remove_file(data.join(CERTIFICATE))?;
    }
    fs::File::open(data)?.sync_all()?;
    Ok((pin, kept))
}

/// `tls-before.key`, or with the first number that no key before has.
fn free_name(data: &Path) -> String {
    let numbered = (2..).map(|number: u32| format!("tls-before-{number}.key"));
    let mut names = std::iter::once("tls-before.key".to_owned()).chain(numbered);
    let free = names.find(|name| !data.join(name).exists());
    free.expect("there are more numbers than keys")
}

/// The pin of the key that lies in this folder to be spoken with; none where there is none, or a certificate of one's own is used.
///
/// # Errors
/// A sentence for a file that holds no key.
pub fn present_pin(data: &Path) -> Result<Option<Sha256>, OpenError> {
    let path = data.join(KEY);
    path.exists().then(|| pin_in(&path)).transpose()
}

/// The pin of the prepared key; none if none was prepared.
///
/// # Errors
/// A sentence for a file that holds no key.
pub fn next_pin(data: &Path) -> Result<Option<Sha256>, OpenError> {
    let path = data.join(NEXT_KEY);
    path.exists().then(|| pin_in(&path)).transpose()
}

/// The key in this file; made if it is not there, readable by its owner only.
fn made_key(path: &Path) -> Result<KeyPair, OpenError> {
    if !path.exists() {
        let part = path.with_extension("key.part");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)?;
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        file.write_all(zeroize::Zeroizing::new(pair.serialize_pem()).as_bytes())?;
        file.sync_all()?;
        // A link, because it never replaces: whoever came first has made the key.
        match fs::hard_link(&part, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => fs::remove_file(&part)?,
        }
    }
    let text = zeroize::Zeroizing::new(fs::read_to_string(path)?);
    Ok(KeyPair::from_pem(&text).map_err(|_| neither(path))?)
}

/// Makes the certificate anew unless the one in the file is for these names and lasts.
fn make_certificate(
    path: &Path,
    pair: &KeyPair,
    names: &[String],
    today: Date,
) -> Result<(), OpenError> {
    let kept = fs::read_to_string(path).unwrap_or_default();
    let (head, _) = kept.split_once('\n').unwrap_or_default();
    // The first line says what the rest is for; readers of PEM pass over it.
    let for_names = format!("for {} until ", names.join(" "));
    let until: Option<Date> = head
        .strip_prefix(&for_names)
        .and_then(|date| date.parse().ok());
    if until.is_some_and(|until| until >= today.saturating_add(AHEAD_DAYS.days())) {
        return Ok(());
    }
    let until = today.saturating_add(LASTS_DAYS.days());
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Kiểu Mẫu");
    let at = |date: Date| {
        date_time_ymd(
            date.year().into(),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    params.not_before = at(today.saturating_sub(1.day()));
    params.not_after = at(until);
    let certificate = params.self_signed(pair)?;
    let text = format!("{for_names}{until}\n{}", certificate.pem());
    let part = path.with_extension("part");
    fs::write(&part, text)?;
    fs::File::open(&part)?.sync_all()?;
    fs::rename(&part, path)?;
    Ok(())
}

fn not_pem(path: &Path, error: &pem::Error) -> Failure {
    match error {
        pem::Error::Io(cause) => unreadable(path, cause),
        _ => neither(path),
    }
}

fn neither(path: &Path) -> Failure {
    let path = path.display();
    Failure::new(
        (
            format!("{path} không chứa chứng chỉ hay khóa riêng ở dạng PEM."),
            format!("{path} holds neither a certificate nor a private key in PEM."),
        ),
        (
            "Chọn tệp bắt đầu bằng “-----BEGIN CERTIFICATE-----” hoặc “-----BEGIN PRIVATE KEY-----”, không có mật khẩu.",
            "Choose a file that begins with “-----BEGIN CERTIFICATE-----” or “-----BEGIN PRIVATE KEY-----”, without a password.",
        ),
    )
}

fn no_pair(certificate: &Path, key: &Path, error: &rustls::Error) -> Failure {
    let (certificate, key) = (certificate.display(), key.display());
    Failure::new(
        (
            format!("Chứng chỉ {certificate} và khóa {key} không dùng với nhau được: {error}."),
            format!("The certificate {certificate} and the key {key} do not go together: {error}."),
        ),
        (
            "Đưa chứng chỉ cùng với khóa riêng của chính nó.",
            "Give the certificate with its own private key.",
        ),
    )
}

/// `switch` before `next`.
pub fn none_prepared() -> Failure {
    Failure::new(
        (
            "Chưa có khóa TLS nào được chuẩn bị để thay.",
            "No next TLS key was prepared.",
        ),
        (
            "Chạy `kieumau tls next` trước, khởi động lại máy chủ, chờ các thiết bị đồng bộ, rồi mới `kieumau tls switch`.",
            "Run `kieumau tls next` first, start the server again, wait for the phones to sync, and only then `kieumau tls switch`.",
        ),
    )
}

#[cfg(test)]
mod tests;
