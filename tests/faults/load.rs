//! Clients that push, move tags, delete and pull at once, all in one ledger,
//! until they are told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::{Client, Reply, Way};
use crate::goods::{self, Content};
use crate::ledger::{Key, Ledger};
use crate::random::Random;

/// Between a refused or unanswered request and the next.
const PAUSE: Duration = Duration::from_millis(20);

/// Repositories, so that some wait for each other and some don't.
const REPOSITORIES: usize = 4;

/// Tags that are moved, in each repository.
const MOVED: usize = 3;

/// The largest layer, in bytes.
const LAYER: usize = 96 * 1024;

/// How many clients of each kind.
#[derive(Clone, Copy)]
pub struct Crew {
    pub pushers: usize,
    pub movers: usize,
    pub deleters: usize,
    pub pullers: usize,
    /// Whether they keep their connections between requests.
    pub keeping: bool,
}

/// What a fault is met with unless a test says otherwise.
pub const CREW: Crew = Crew {
    pushers: 8,
    movers: 2,
    deleters: 2,
    pullers: 1,
    keeping: true,
};

/// Clients at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Lets a crew loose on the registry at `url`.
    pub fn start(url: &str, ledger: &Arc<Ledger>, crew: Crew, seed: u64) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let jobs: [(usize, Job); 4] = [
            (crew.pushers, Worker::push),
            (crew.movers, Worker::move_tag),
            (crew.deleters, Worker::delete),
            (crew.pullers, Worker::pull),
        ];
        let mut clients = Vec::new();
        for (count, job) in jobs {
            for _ in 0..count {
                let mut worker = Worker {
                    client: Client::keeping(url, ledger, crew.keeping),
                    random: Random::of(seed, clients.len() as u64),
                    shared: shared_layers(),
                };
                let stop = Arc::clone(&stop);
                clients.push(std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        if !job(&mut worker).is_some_and(|reply| reply.is_good()) {
                            std::thread::sleep(PAUSE);
                        }
                    }
                }));
            }
        }
        Load { stop, clients }
    }

    /// Tells every client to stop, and waits until each has its last answer, or
    /// knows that it won't get one.
    pub fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            client.join().expect("a client that ended in order");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Layers that many images have.
fn shared_layers() -> Vec<Arc<Content>> {
    let mut random = Random::of(7, 7);
    [3, 700, 9_000, 200_000]
        .into_iter()
        .map(|size| goods::blob(random.bytes(size), false))
        .collect()
}

/// One of [`REPOSITORIES`].
fn repository(random: &mut Random) -> String {
    format!("load/r{}", random.below(REPOSITORIES))
}

/// One request, or a push of several: its last answer.
type Job = fn(&mut Worker) -> Option<Reply>;

struct Worker {
    client: Client,
    random: Random,
    shared: Vec<Arc<Content>>,
}

impl Worker {
    fn push(&mut self) -> Option<Reply> {
        let repository = repository(&mut self.random);
        match self.random.below(11) {
            10 => {
                let blob = goods::blob(self.random.bytes(256 * 1024), true);
                self.client.push_blob(&repository, &blob, Way::Slow(12))
            }
            0 | 1 => {
                let size = 16 + self.random.size(LAYER);
                let blob = goods::blob(self.random.bytes(size), true);
                let way = way(&mut self.random);
                self.client.push_blob(&repository, &blob, way)
            }
            2 => {
                let children = (0..2).map(|_| self.image(None, false)).collect();
                self.push_content(&repository, &goods::index(children))
            }
            3 => {
                let subject = self.known(&repository, |content| content.media.is_some());
                let referrer = self.image(subject.as_deref(), true);
                self.push_content(&repository, &referrer)
            }
            4 => self.mount(&repository),
            _ => {
                let image = self.image(None, true);
                self.push_content(&repository, &image)
            }
        }
    }

    fn image(&mut self, subject: Option<&Content>, is_loose: bool) -> Arc<Content> {
        let mut layers = Vec::new();
        if self.random.below(2) == 0 {
            let number = self.random.below(self.shared.len());
            layers.push(Arc::clone(&self.shared[number]));
        }
        for _ in 0..self.random.below(3) {
            layers.push(goods::random_blob(&mut self.random, LAYER));
        }
        goods::image(&mut self.random, layers, subject, is_loose)
    }

    fn push_content(&mut self, repository: &str, content: &Arc<Content>) -> Option<Reply> {
        let name = content.digest.get(7..19).unwrap_or_default();
        let tag = match self.random.below(4) {
            0 => None,
            1 => Some(format!("moving-{}", self.random.below(MOVED))),
            _ => Some(format!("own-{name}")),
        };
        let random = &mut self.random;
        self.client
            .push(repository, tag.as_deref(), content, &mut || way(random))
    }

    fn mount(&mut self, repository: &str) -> Option<Reply> {
        let from = (0..REPOSITORIES).map(|number| format!("load/r{number}"));
        let others: Vec<String> = from.filter(|name| name != repository).collect();
        let other = &others[self.random.below(others.len())];
        let layer = Arc::clone(&self.shared[self.random.below(self.shared.len())]);
        if self.client.mount(repository, other, &layer) {
            let image = goods::image(&mut self.random, vec![layer], None, true);
            return self.push_content(repository, &image);
        }
        self.client.push_blob(repository, &layer, Way::Monolithic)
    }

    /// Something that is there, in a repository.
    fn known(&mut self, repository: &str, wanted: fn(&Content) -> bool) -> Option<Arc<Content>> {
        let ledger = self.client.ledger();
        let key = ledger.pick(self.random.below(1000), |key, content| {
            matches!(key, Key::Manifest(name, _) if name == repository) && wanted(content)
        })?;
        match key {
            Key::Manifest(_, digest) => ledger.content(&digest),
            _ => None,
        }
    }

    fn move_tag(&mut self) -> Option<Reply> {
        let repository = repository(&mut self.random);
        let content = self.known(&repository, |content| content.is_loose)?;
        let tag = format!("moving-{}", self.random.below(MOVED));
        self.client.put_manifest(&repository, Some(&tag), &content)
    }

    fn delete(&mut self) -> Option<Reply> {
        let number = self.random.below(1000);
        let ledger = Arc::clone(self.client.ledger());
        let key = ledger.pick(number, |key, content| match key {
            Key::Tag(..) => true,
            Key::Blob(..) | Key::Manifest(..) => content.is_loose,
        })?;
        // Slower than the pushers, or nothing would be left.
        std::thread::sleep(PAUSE);
        self.client.delete(&key)
    }

    fn pull(&mut self) -> Option<Reply> {
        let number = self.random.below(1000);
        let ledger = Arc::clone(self.client.ledger());
        let key = ledger.pick(number, |_, _| true)?;
        self.client.pull(&key)
    }
}

/// Any way of pushing a blob.
pub fn way(random: &mut Random) -> Way {
    match random.below(4) {
        0 => Way::Monolithic,
        1 => Way::Single,
        2 => Way::Streamed,
        _ => Way::Chunked(1 + random.below(4)),
    }
}
