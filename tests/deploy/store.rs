//! An S3 store beside the nodes.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::nodes::Nodes;
use crate::site::Site;
use crate::support::{eventually, find};

/// SeaweedFS on the fabric, beside the nodes.
pub struct Store(Child);

impl Store {
    /// Starts it with the bucket `registry`, and waits until that is there.
    pub fn start(nodes: &Nodes, site: &Site) -> Store {
        let dir = nodes.scratch("store");
        let log = fs::File::create(dir.join("log")).expect("a log");
        let enter = nodes.fabric_flag();
        let child = Command::new("nsenter")
            .arg(enter)
            .arg(find("weed").expect("weed"))
            .args(["-logtostderr=true", "mini", "-bucket=registry"])
            .arg(format!("-ip={}", nodes.outside()))
            .arg(format!("-dir={}", dir.display()))
            .arg(format!(
                "-s3.config={}",
                site.secrets.join("s3.json").display()
            ))
            .args([
                "-webdav=false",
                "-admin.ui=false",
                "-master.telemetry=false",
            ])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("weed started");
        let store = Store(child);
        let url = format!("http://{}:8888/buckets/registry/", nodes.outside());
        eventually("the store's bucket", Duration::from_secs(60), || {
            let ask = nodes.on_the_fabric("curl").args(["-sf", "-m", "2", &url]);
            ask.output().success().then_some(())
        });
        store
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
