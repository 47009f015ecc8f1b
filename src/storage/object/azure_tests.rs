//! The store's promises, kept by Azure's protocol: the emulator Azurite, whose
//! parts pass through us.

use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential};
use object_store::client::{ClientOptions, HttpConnector as _, HttpRequestBody, ReqwestConnector};
use tempfile::TempDir;

use super::super::*;
use super::slow::InPieces;
use super::{Needs, eventually, find, replicas};
use crate::storage::contract::{Bench, stamp_contract};

/// Known to everybody: Azurite's own account.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Runs it until the test binary ends: then the shell's input closes.
const LAUNCH: &str = r#""$@" & read -r _; kill $!"#;

struct Azurite {
    address: String,
    _dir: TempDir,
    _shell: Child,
}

impl Azurite {
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Azurite> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let shell = Command::new("sh")
            .args(["-c", LAUNCH, "sh"])
            .arg(find("azurite-blob").unwrap())
            .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()])
            .args([
                "--silent",
                "--skipApiVersionCheck",
                "--disableTelemetry",
                "-l",
            ])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("azurite listens", Duration::from_secs(60), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self {
            address: format!("http://127.0.0.1:{port}/{ACCOUNT}"),
            _dir: dir,
            _shell: shell,
        }
    }

    /// A container of its own.
    async fn container(&self) -> String {
        let name = format!("test-{}", UploadId::random());
        let mut request = http::Request::builder()
            .method(http::Method::PUT)
            .uri(format!("{}/{name}?restype=container", self.address))
            .header("x-ms-version", "2023-11-03")
            .header(http::header::CONTENT_LENGTH, 0)
            .body(HttpRequestBody::empty())
            .unwrap();
        let key = AzureCredential::AccessKey(AzureAccessKey::try_new(KEY).unwrap());
        let authorizer = AzureAuthorizer::new(&key, ACCOUNT);
        authorizer.try_authorize(&mut request).unwrap();
        let options = ClientOptions::new().with_allow_http(true);
        let client = ReqwestConnector::default().connect(&options).unwrap();
        let made = client.execute(request).await.unwrap();
        assert_eq!(made.status().as_u16(), 201, "{:?}", made.headers());
        name
    }
}

/// A container of its own, if the emulator is installed.
async fn settings() -> Option<Settings> {
    let start = || {
        let needs = Needs::of("azurite").program("azurite-blob", "npm install --global azurite");
        needs.met().then(Azurite::shared)
    };
    let azurite = tokio::task::spawn_blocking(start).await.unwrap()?;
    Some(Settings {
        engine: Engine::Azure(Azure {
            account: ACCOUNT.to_owned(),
            container: azurite.container().await,
            credentials: AzureCredentials::Key(Secret::new(KEY.to_owned())),
            endpoint: Some(azurite.address.clone()),
            skip_verify: false,
        }),
        root: "below".to_owned(),
        chunk_size: Settings::LEAST_CHUNK,
        copies: Settings::COPIES,
        redirect: false,
    })
}

async fn bench() -> Option<Bench> {
    Some(replicas(&settings().await?).await)
}
stamp_contract!(bench);

#[tokio::test]
async fn it_passes_every_check() {
    let Some(settings) = settings().await else {
        return;
    };
    let objects = Objects::connect(&settings).await.unwrap();
    let report = objects.examine().await;
    assert_eq!(report.checks.len(), 6, "{report:?}");
    for check in &report.checks {
        assert_eq!(check.outcome, Outcome::Passed, "{check:?}");
    }
}

/// There is no step that keeps parts from being completed: whoever does that
/// looks whether the blob is wanted.
#[tokio::test]
async fn a_removed_blob_is_not_completed() {
    let Some(settings) = settings().await else {
        return;
    };
    let left = InPieces::of(&settings, true).await;
    let (objects, stage, key) = (&left.objects, &left.stage, &left.key);
    assert!(objects.withdraw_assembly(stage, key).await.unwrap());
    let segments = InPieces::segments(stage).map(|key| objects.key_path(&key));
    let assembled = objects.assemble(stage, segments.to_vec(), key, &left.id);
    let refused = assembled.await.unwrap_err();
    assert!(refused.to_string().contains("was removed"), "{refused}");
    objects.delete(key).await.unwrap();
    left.assert_gone().await;
}
