//! The matrix: each client pushes and pulls an image, an index of two
//! platforms, a zstd layer and an artifact with a subject, is refused without a
//! login, with a wrong password and when it doesn't know the CA, and moves a
//! layer of 2 GiB. All of it over TLS and behind htpasswd.

pub mod copiers;
pub mod docker;
pub mod site;
pub mod stores;

use std::sync::Mutex;
use std::time::Duration;

use crate::content::{self, Compression, Layout, TAG};
use crate::support::{Manner, Needs, Run, say, timed};
use site::Site;

/// The size of the large layer.
const LARGE: u64 = 2 << 30;

/// One client at a time moves gigabytes: two cores have no more to give.
static HEAVY: Mutex<()> = Mutex::new(());

/// As whom a client comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum As {
    /// With the right name and password.
    User,
    /// Without any.
    Nobody,
    /// With the right name and another password.
    WrongPassword,
    /// With the right password, trusting another CA.
    Stranger,
}

/// What is pushed and pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Image,
    Index,
    Zstd,
    Artifact,
}

/// A client as the matrix uses it. References are `REPOSITORY:TAG`, without
/// the host.
pub trait Client {
    /// Its name on the command line, and its part of repository names.
    fn name(&self) -> &'static str;

    /// What this release can carry at all.
    fn carries(&self, kind: Kind) -> bool;

    /// Whether it can push what it can pull; where it can't, the test uploads
    /// it.
    fn pushes(&self, _kind: Kind) -> bool {
        true
    }

    /// The last command of a push; what leads to it is done before.
    fn push(&self, site: &Site, kind: Kind, layout: &Layout, to: &str, who: As) -> Run;

    /// A pull to wherever the client keeps images.
    fn pull(&self, site: &Site, kind: Kind, from: &str, who: As) -> Run;

    /// The words of which one is in the message for this refusal.
    fn words(&self, who: As) -> &'static [&'static str];

    /// Whether what arrives is byte for byte what the layout holds; clients
    /// with a store of layers compress anew.
    fn keeps_bytes(&self) -> bool;

    /// The digest of what [`Client::pull`] brought, where the client tells.
    fn pulled(&self, site: &Site, from: &str) -> Option<String>;

    /// The command that lists what refers to an image.
    fn referrers(&self, _site: &Site, _image: &str) -> Option<Run> {
        None
    }

    /// Forgets a pulled image, so that the next pull moves its bytes again.
    fn forget(&self, _site: &Site, _image: &str) {}
}

/// Runs one client through everything but the large layer.
fn run_matrix(client: &impl Client, site: &Site) {
    let name = client.name();
    timed(&format!("{name}: push and pull"), || {
        for kind in [Kind::Image, Kind::Index, Kind::Zstd, Kind::Artifact] {
            if client.carries(kind) {
                round_trip(client, site, kind);
            } else {
                say(&format!("{name}: this release carries no {kind:?}"));
            }
        }
    });
    timed(&format!("{name}: refusals"), || refusals(client, site));
}

fn round_trip(client: &impl Client, site: &Site, kind: Kind) {
    let repository = format!("{}/{kind:?}", client.name()).to_lowercase();
    let reference = format!("{repository}:{TAG}");
    let layout = match kind {
        Kind::Image => site.image(),
        Kind::Index => content::index(&site.path("index")),
        Kind::Zstd => content::image(&site.path("zstd"), Compression::Zstd, 200_000),
        Kind::Artifact => {
            let subject = site.image();
            site.upload(&repository, &subject, "subject");
            content::artifact(&site.path("artifact"), &subject)
        }
    };
    if client.pushes(kind) {
        client.push(site, kind, &layout, &reference, As::User).ok();
    } else {
        site.upload(&repository, &layout, TAG);
    }
    let stored = site.verify(&repository, TAG);
    if client.keeps_bytes() {
        assert_eq!(stored, layout.digest, "{reference} as pushed");
    }
    if kind == Kind::Zstd {
        site.assert_zstd(&repository, TAG);
    }
    client.forget(site, &reference);
    client.pull(site, kind, &reference, As::User).ok();
    if let Some(pulled) = client.pulled(site, &reference) {
        assert_eq!(pulled, stored, "{reference} as pulled");
    }
    if kind == Kind::Artifact {
        let subject = site.image().digest;
        site.assert_refers(&repository, &subject, &stored);
        if let Some(list) = client.referrers(site, &format!("{repository}:subject")) {
            list.ok().says(&stored);
        }
    }
}

fn refusals(client: &impl Client, site: &Site) {
    let name = client.name();
    let image = site.image();
    site.upload(&format!("{name}/there"), &image, TAG);
    let pushed = format!("{name}/refused:{TAG}");
    let pulled = format!("{name}/there:{TAG}");
    for who in [As::Nobody, As::WrongPassword, As::Stranger] {
        let words = client.words(who);
        client
            .push(site, Kind::Image, &image, &pushed, who)
            .refused_with_any(words);
        client
            .pull(site, Kind::Image, &pulled, who)
            .refused_with_any(words);
    }
    site.assert_absent(&format!("{name}/refused"));
}

/// Pushes and pulls a layer of 2 GiB, and checks that it arrived as one.
fn run_large(client: &impl Client, site: &Site) {
    let _alone = HEAVY.lock().unwrap_or_else(|held| held.into_inner());
    let name = client.name();
    if !Manner::of_this_run().moves_large(name) {
        return say(&format!(
            "{name}: no layer of 2 GiB here, skopeo moves one (WHARF_LONG=1 for all)"
        ));
    }
    let layout = content::large_image(LARGE);
    let reference = format!("{name}/large:{TAG}");
    let limit = Duration::from_secs(900);
    let push = client
        .push(site, Kind::Image, &layout, &reference, As::User)
        .limit(limit);
    timed(&format!("{name}: push of 2 GiB"), || push.ok());
    let layer = site.largest_blob(&format!("{name}/large"), TAG);
    assert!(layer >= LARGE, "a layer of {layer} bytes");
    client.forget(site, &reference);
    let pull = client
        .pull(site, Kind::Image, &reference, As::User)
        .limit(limit);
    timed(&format!("{name}: pull of 2 GiB"), || pull.ok());
}

/// What a client needs that `go install` brings.
fn go_client(name: &'static str) -> Needs {
    Needs::of(name).program(name, "go install, as .ci/run does it")
}

/// What a client needs that Debian brings.
pub fn debian_client(name: &'static str) -> Needs {
    Needs::of(name).program(name, "apt install it under that name")
}
