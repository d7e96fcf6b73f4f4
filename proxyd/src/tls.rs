//! Which certificate answers which name; changed without touching a connection.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::control::messages::{Table, TableCertificate, TlsFailures};

struct Loaded {
    wanted: TableCertificate,
    key: Arc<CertifiedKey>,
}

/// The certificates of one table.
#[derive(Default)]
struct ByName {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what follows the `*.`.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
    loaded: Vec<Loaded>,
}

pub struct Certificates {
    provider: Arc<CryptoProvider>,
    current: ArcSwap<ByName>,
    no_sni: AtomicU64,
    cert_missing: AtomicU64,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the keys.
        formatter.write_str("Certificates")
    }
}

impl Certificates {
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            current: ArcSwap::default(),
            no_sni: AtomicU64::new(0),
            cert_missing: AtomicU64::new(0),
        })
    }

    /// Uses the table's certificates from the next handshake on.
    ///
    /// One whose files cannot be used is logged and left out, or stays what it was: a route must not go down
    /// because of another's certificate.
    pub fn install(&self, table: &Table) {
        let before = self.current.load();
        let mut now = ByName::default();
        for wanted in &table.certificates {
            let Some(key) = self.load(wanted, &before, &mut now.loaded) else {
                continue;
            };
            for name in &wanted.names {
                let name = name.to_ascii_lowercase();
                match name.strip_prefix("*.") {
                    Some(parent) => now.wildcard.insert(parent.to_owned(), key.clone()),
                    None => now.exact.insert(name, key.clone()),
                };
            }
        }
        if let Some(wanted) = &table.default_certificate {
            now.default = self.load(wanted, &before, &mut now.loaded);
        }
        self.current.store(Arc::new(now));
    }

    fn load(
        &self,
        wanted: &TableCertificate,
        before: &ByName,
        loaded: &mut Vec<Loaded>,
    ) -> Option<Arc<CertifiedKey>> {
        let mut known = before.loaded.iter();
        let key = match known.find(|known| known.wanted == *wanted) {
            Some(known) => known.key.clone(),
            None => match read(wanted, &self.provider) {
                Ok(key) => Arc::new(key),
                Err(error) => {
                    log::error!("certificate {}: {error}", wanted.chain_path);
                    let mut known = before.loaded.iter();
                    let same = known.find(|known| known.wanted.chain_path == wanted.chain_path)?;
                    same.key.clone()
                }
            },
        };
        loaded.push(Loaded {
            wanted: wanted.clone(),
            key: key.clone(),
        });
        Some(key)
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.load();
        let by_name = name.and_then(|name| {
            let name = name.strip_suffix('.').unwrap_or(name);
            let name = name.to_ascii_lowercase();
            let exact = current.exact.get(&name);
            exact.or_else(|| current.wildcard.get(name.split_once('.')?.1))
        });
        if by_name.is_none() {
            let missing = if name.is_none() {
                &self.no_sni
            } else {
                &self.cert_missing
            };
            missing.fetch_add(1, Ordering::Relaxed);
        }
        by_name.or(current.default.as_ref()).cloned()
    }

    /// Handshakes for which there was no certificate but the default.
    #[must_use]
    pub fn failures(&self) -> TlsFailures {
        TlsFailures {
            no_sni: self.no_sni.load(Ordering::Relaxed),
            cert_missing: self.cert_missing.load(Ordering::Relaxed),
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
    }
}

fn read(wanted: &TableCertificate, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let chain: Vec<CertificateDer> = CertificateDer::pem_file_iter(Path::new(&wanted.chain_path))
        .and_then(Iterator::collect)
        .map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from_pem_file(Path::new(&wanted.key_path))
        .map_err(|error| format!("its key {}: {error}", wanted.key_path))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| error.to_string())
}

/// What every TLS connection is served by.
pub fn server_config(
    certificates: Arc<Certificates>,
) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    let mut config = rustls::ServerConfig::builder_with_provider(certificates.provider.clone())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Sessions are resumed by tickets: nothing is kept per session, and nothing is shared between the workers but a key.
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(folder: &Path, names: &[&str], fingerprint: &str) -> TableCertificate {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names.clone()).unwrap();
        let file = |kind: &str| folder.join(format!("{}.{kind}", names[0].replace('*', "any")));
        let wanted = TableCertificate {
            names: names.clone(),
            chain_path: file("crt").to_str().unwrap().to_owned(),
            key_path: file("key").to_str().unwrap().to_owned(),
            fingerprint: fingerprint.to_owned(),
        };
        std::fs::write(&wanted.chain_path, made.cert.pem()).unwrap();
        std::fs::write(&wanted.key_path, made.signing_key.serialize_pem()).unwrap();
        wanted
    }

    #[test]
    fn the_exact_name_beats_the_wildcard_and_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let table = Table {
            certificates: vec![
                certificate(folder.path(), &["a.test", "b.test"], "1"),
                certificate(folder.path(), &["*.a.test"], "1"),
            ],
            default_certificate: Some(certificate(folder.path(), &["default"], "1")),
            ..Table::default()
        };
        let certificates = Certificates::new();
        assert!(certificates.find(Some("a.test")).is_none());
        certificates.install(&table);
        let of = |name| certificates.find(name).unwrap().cert[0].clone();
        assert_eq!(of(Some("a.test")), of(Some("B.Test.")));
        assert_ne!(of(Some("x.a.test")), of(Some("a.test")));
        assert_ne!(of(Some("x.a.test")), of(None));
        assert_eq!(of(Some("x.y.a.test")), of(None), "a wildcard is one label");
        assert_eq!(of(Some("unknown.test")), of(None));
    }

    #[test]
    fn a_certificate_that_cannot_be_read_leaves_the_others_and_its_predecessor() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = Table {
            certificates: vec![
                certificate(folder.path(), &["a.test"], "1"),
                certificate(folder.path(), &["b.test"], "1"),
            ],
            ..Table::default()
        };
        let certificates = Certificates::new();
        certificates.install(&table);
        let before = certificates.find(Some("a.test")).unwrap();
        table.certificates[0].fingerprint = "2".to_owned();
        std::fs::write(&table.certificates[0].key_path, "torn").unwrap();
        certificates.install(&table);
        let after = certificates.find(Some("a.test")).unwrap();
        assert_eq!(before.cert, after.cert);
        assert!(certificates.find(Some("b.test")).is_some());
    }
}
