//! Follows the certificate files: a new pair is taken up without a restart, a
//! broken one is named in the log while the old one stays in service, and the
//! end of a certificate is announced.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tracing::{error, info, warn};

use super::Settings;
use super::leaf::{Expiry, Leaf};
use super::load::{Loaded, TlsError, load};
use crate::server::shutdown::Shutdown;

/// The TLS side of a server, always usable.
#[derive(Debug)]
pub(in crate::server) struct Tls {
    settings: Settings,
    http2: bool,
    current: ArcSwap<Loaded>,
    seen: Mutex<Seen>,
}

/// What the follower knows of its files.
#[derive(Debug)]
struct Seen {
    files: Vec<Option<Stamp>>,
    announced: Expiry,
}

/// One version of a file, as far as the file system tells. The inode changes
/// with a rename, and with Kubernetes' swapped symbolic links.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    inode: u64,
    size: u64,
}

/// What a look at the files came to.
#[derive(Debug)]
enum Change {
    /// Nothing is new.
    None,
    /// A new pair is in service.
    Taken,
    /// The new files cannot be used; the old pair stays.
    Refused(TlsError),
}

impl Tls {
    /// Reads the files for the first time. Blocks.
    pub(in crate::server) fn load(settings: Settings, http2: bool) -> Result<Self, TlsError> {
        let files = stamps(&settings);
        let loaded = load(&settings, http2)?;
        Ok(Self {
            settings,
            http2,
            current: ArcSwap::from_pointee(loaded),
            seen: Mutex::new(Seen {
                files,
                announced: Expiry::Far,
            }),
        })
    }

    /// What new connections use.
    pub(in crate::server) fn current(&self) -> Arc<Loaded> {
        self.current.load_full()
    }

    /// Looks at the files every `period` and whenever a reload is asked for,
    /// until the background tasks end.
    pub(in crate::server) async fn follow(self: Arc<Self>, period: Duration, shutdown: Shutdown) {
        let end = shutdown.background();
        let mut reloads = shutdown.reloads();
        loop {
            let tls = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || tls.look()).await {
                Ok(change) => self.report(&change),
                Err(error) => error!(%error, "cannot look at the certificate files"),
            }
            self.announce_expiry(now());
            tokio::select! {
                () = end.cancelled() => return,
                () = reloads.next() => {}
                () = tokio::time::sleep(period) => {}
            }
        }
    }

    fn report(&self, change: &Change) {
        let path = self.settings.certificate.display();
        match change {
            Change::None => {}
            Change::Taken => {
                let names = self.current().leaf.names.join(" ");
                info!(%names, "took up the new certificate {path}");
            }
            Change::Refused(error) => error!(
                "the new certificate files are not used, the old ones stay in service: {error}"
            ),
        }
    }

    /// Takes up new files, if there are any. Blocks.
    fn look(&self) -> Change {
        let files = stamps(&self.settings);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.files == files {
            return Change::None;
        }
        // Remembered before the files are read: whatever changes meanwhile is
        // seen as new the next time.
        seen.files = files;
        match load(&self.settings, self.http2) {
            Ok(loaded) => {
                self.current.store(Arc::new(loaded));
                seen.announced = Expiry::Far;
                Change::Taken
            }
            Err(error) => Change::Refused(error),
        }
    }

    /// Warns 21, 7 and 1 days before the certificate ends and after it has, each
    /// once; returns whether it did. `now` is in seconds since 1970.
    fn announce_expiry(&self, now: i64) -> bool {
        let loaded = self.current();
        let leaf: &Leaf = &loaded.leaf;
        let expiry = leaf.expiry(now);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if expiry <= seen.announced {
            return false;
        }
        seen.announced = expiry;
        let path = self.settings.certificate.display();
        match expiry {
            Expiry::Past => error!(
                "the certificate {path} has expired and clients refuse it: replace it (no restart is needed)"
            ),
            _ => warn!(
                days = leaf.days_left(now),
                "the certificate {path} expires in {} days: replace it (no restart is needed)",
                leaf.days_left(now)
            ),
        }
        true
    }
}

fn stamps(settings: &Settings) -> Vec<Option<Stamp>> {
    [&settings.certificate, &settings.key]
        .into_iter()
        .chain(&settings.client_cas)
        .map(|path| stamp(path))
        .collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some(Stamp {
        modified: (meta.mtime(), meta.mtime_nsec()),
        inode: meta.ino(),
        size: meta.size(),
    })
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::tls::{ClientAuth, Version};
    use std::path::PathBuf;
    use tempfile::TempDir;

    fn write(path: &PathBuf, content: &str) {
        let new = path.with_extension("new");
        fs::write(&new, content).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn pair(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn tls(directory: &TempDir) -> Tls {
        let settings = Settings {
            certificate: directory.path().join("domain.crt"),
            key: directory.path().join("domain.key"),
            client_cas: Vec::new(),
            client_auth: ClientAuth::Required,
            minimum: Version::Tls12,
            cipher_suites: Vec::new(),
        };
        let (certificate, key) = pair("first.test");
        write(&settings.certificate, &certificate);
        write(&settings.key, &key);
        Tls::load(settings, true).unwrap()
    }

    #[test]
    fn a_new_pair_is_taken_up_even_if_its_halves_come_one_by_one() {
        let directory = TempDir::new().unwrap();
        let tls = tls(&directory);
        assert!(matches!(tls.look(), Change::None));

        let (certificate, key) = pair("second.test");
        write(&tls.settings.certificate, &certificate);
        assert!(matches!(tls.look(), Change::Refused(_)));
        assert_eq!(tls.current().leaf.names, ["first.test"]);
        assert!(matches!(tls.look(), Change::None), "said once per change");

        write(&tls.settings.key, &key);
        assert!(matches!(tls.look(), Change::Taken));
        assert_eq!(tls.current().leaf.names, ["second.test"]);
    }

    #[test]
    fn broken_or_missing_files_keep_the_old_pair() {
        let directory = TempDir::new().unwrap();
        let tls = tls(&directory);
        write(&tls.settings.certificate, "garbage");
        assert!(matches!(tls.look(), Change::Refused(_)));
        fs::remove_file(&tls.settings.certificate).unwrap();
        assert!(matches!(tls.look(), Change::Refused(_)));
        assert_eq!(tls.current().leaf.names, ["first.test"]);
    }

    #[test]
    fn each_step_towards_expiry_is_announced_once() {
        let directory = TempDir::new().unwrap();
        let tls = tls(&directory);
        let end = tls.current().leaf.not_after;
        let day = 86_400;
        assert!(!tls.announce_expiry(end - 30 * day));
        assert!(tls.announce_expiry(end - 20 * day));
        assert!(!tls.announce_expiry(end - 19 * day));
        assert!(tls.announce_expiry(end - 6 * day));
        assert!(tls.announce_expiry(end - day / 2));
        assert!(tls.announce_expiry(end + 1));
        assert!(!tls.announce_expiry(end + day));
    }
}
