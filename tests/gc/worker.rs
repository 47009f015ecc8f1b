//! Somebody who works on a registry in a soak: in a repository of their own, of
//! which they know at each moment what it holds, and in one that all share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crate::client::{Client, Unknown};

/// Tags in a repository of one's own.
const TAGS: usize = 5;

/// The most manifests that it holds for longer.
const MOST: usize = 5;

/// The repository that all share.
const COMMON: &str = "soak/all";

/// What all know of the goods in [`COMMON`], by their digests.
#[derive(Default)]
pub struct Common(Mutex<BTreeMap<String, Deletes>>);

/// How often something was deleted.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Deletes {
    begun: u64,
    ended: u64,
    /// How many deletes were over when it was pushed last.
    pushed_after: Option<u64>,
}

impl Common {
    fn with<T>(&self, digest: &str, change: impl FnOnce(&mut Deletes) -> T) -> T {
        let mut all = self.0.lock().expect("nobody died");
        change(all.entry(digest.to_owned()).or_default())
    }

    /// What was pushed and not deleted since.
    pub fn promised(&self) -> Vec<String> {
        let all = self.0.lock().expect("nobody died");
        let promised = all.iter().filter(|(_, deletes)| {
            deletes.begun == deletes.ended && deletes.pushed_after == Some(deletes.begun)
        });
        promised.map(|(digest, _)| digest.clone()).collect()
    }
}

/// One of them.
pub struct Worker<'a> {
    pub client: Client<'a>,
    common: &'a Common,
    repo: String,
    others: usize,
    /// What the repository holds: digests, and tags with the digests they name.
    held: BTreeSet<String>,
    tags: BTreeMap<String, String>,
    /// What is asked for that the soak's end has left unanswered.
    unsure: bool,
}

impl<'a> Worker<'a> {
    pub fn new(client: Client<'a>, common: &'a Common, number: usize, others: usize) -> Self {
        Worker {
            client,
            common,
            repo: format!("soak/w{number}"),
            others,
            held: BTreeSet::new(),
            tags: BTreeMap::new(),
            unsure: false,
        }
    }

    /// Works until the soak is over.
    pub fn work(&mut self) {
        while !self.client.tally.is_over() {
            if self.act().is_err() {
                self.unsure = true;
            }
        }
    }

    fn act(&mut self) -> Result<(), Unknown> {
        // What everybody held nobody could collect.
        if self.held.len() > MOST {
            return self.delete_manifest();
        }
        let random = &mut self.client.random;
        let any = self.client.stock.any(random);
        let image = self.client.stock.an_image(random);
        match random.below(20) {
            0..=3 => {
                let tag = format!("t{}", random.below(TAGS));
                self.push(any, Some(&tag))
            }
            4..=5 => self.push(any, None),
            6..=7 => self.mount(image),
            8..=9 => self.delete_and_push_again(),
            10..=11 => self.delete_manifest(),
            12 => self.delete_tag(),
            13 => self.common_push(image),
            14 => self.common_delete(image),
            15 => self.lists(),
            _ => self.pull_any(),
        }
    }

    /// Everything below it is held, too.
    fn now_holds(&mut self, goods: usize) {
        let goods = &self.client.stock.goods[goods];
        self.held.insert(goods.digest.clone());
        for child in &goods.children {
            self.now_holds(*child);
        }
    }

    fn push(&mut self, goods: usize, tag: Option<&str>) -> Result<(), Unknown> {
        let repo = self.repo.clone();
        self.client.push(&repo, goods, tag)?;
        let digest = self.client.stock.goods[goods].digest.clone();
        self.now_holds(goods);
        if let Some(tag) = tag {
            self.tags.insert(tag.to_owned(), digest.clone());
        }
        self.pull(goods, tag.unwrap_or(&digest))
    }

    fn mount(&mut self, goods: usize) -> Result<(), Unknown> {
        let from = format!("soak/w{}", self.client.random.below(self.others));
        let repo = self.repo.clone();
        self.client.mount(&repo, &from, goods)?;
        self.push(goods, None)
    }

    fn pull(&mut self, goods: usize, reference: &str) -> Result<(), Unknown> {
        let repo = self.repo.clone();
        if let Some(wrong) = self.client.pull(&repo, goods, reference)? {
            self.client.tally.fail(format!("damaged: {wrong}"));
        }
        Ok(())
    }

    /// Something held that no index holds.
    fn loose(&mut self) -> Option<String> {
        let stock = self.client.stock;
        let held = |digest: &String| stock.find(digest).map(|place| &stock.goods[place]);
        let children: BTreeSet<&String> = self
            .held
            .iter()
            .filter_map(held)
            .flat_map(|goods| &goods.children)
            .map(|child| &stock.goods[*child].digest)
            .collect();
        let loose: Vec<&String> = self
            .held
            .iter()
            .filter(|one| !children.contains(one))
            .collect();
        let place = self.client.random.below(loose.len().max(1));
        loose.get(place).map(|digest| (*digest).clone())
    }

    fn delete_manifest(&mut self) -> Result<(), Unknown> {
        let Some(digest) = self.loose() else {
            return Ok(());
        };
        let repo = self.repo.clone();
        self.client.delete(&repo, &digest)?;
        self.held.remove(&digest);
        self.tags.retain(|_, named| *named != digest);
        Ok(())
    }

    /// What a collection may be removing just now.
    fn delete_and_push_again(&mut self) -> Result<(), Unknown> {
        let Some(digest) = self.loose() else {
            return Ok(());
        };
        let Some(goods) = self.client.stock.find(&digest) else {
            return Ok(());
        };
        let repo = self.repo.clone();
        self.client.delete(&repo, &digest)?;
        self.held.remove(&digest);
        self.tags.retain(|_, named| *named != digest);
        let pause = self.client.random.below(60) as u64;
        std::thread::sleep(std::time::Duration::from_millis(pause));
        self.push(goods, Some("again"))
    }

    fn delete_tag(&mut self) -> Result<(), Unknown> {
        let place = self.client.random.below(self.tags.len().max(1));
        let Some(tag) = self.tags.keys().nth(place).cloned() else {
            return Ok(());
        };
        let repo = self.repo.clone();
        self.client.delete(&repo, &tag)?;
        self.tags.remove(&tag);
        Ok(())
    }

    fn pull_any(&mut self) -> Result<(), Unknown> {
        let all = self.promises();
        let place = self.client.random.below(all.len().max(1));
        match all.get(place) {
            Some((goods, reference)) => self.pull(*goods, reference),
            None => Ok(()),
        }
    }

    /// What is held, by all its names.
    fn promises(&self) -> Vec<(usize, String)> {
        let by_digest = self.held.iter().map(|digest| (digest, digest));
        let names = self
            .tags
            .iter()
            .map(|(tag, digest)| (digest, tag))
            .chain(by_digest);
        let stock = self.client.stock;
        names
            .filter_map(|(digest, name)| Some((stock.find(digest)?, name.clone())))
            .collect()
    }

    /// Tags and referrers are exactly those that there are.
    fn lists(&mut self) -> Result<(), Unknown> {
        let path = format!("/v2/{}/tags/list", self.repo);
        let listed = self.client.list(&path, "tags", "")?;
        let wanted: Vec<String> = self.tags.keys().cloned().collect();
        if listed != wanted {
            self.client
                .tally
                .fail(format!("{path}: {listed:?}, not {wanted:?}"));
        }
        let subject = self.client.stock.an_image(&mut self.client.random);
        let stock = self.client.stock;
        let path = format!(
            "/v2/{}/referrers/{}",
            self.repo, stock.goods[subject].digest
        );
        let listed = self.client.list(&path, "manifests", "digest")?;
        let about = stock
            .goods
            .iter()
            .filter(|goods| goods.subject == Some(subject));
        let mut wanted: Vec<String> = about
            .map(|goods| goods.digest.clone())
            .filter(|digest| self.held.contains(digest))
            .collect();
        wanted.sort();
        if listed != wanted {
            self.client
                .tally
                .fail(format!("{path}: {listed:?}, not {wanted:?}"));
        }
        self.client.tally.add("lists", 2);
        Ok(())
    }

    /// A push where others delete: it stands if no delete was begun meanwhile.
    fn common_push(&mut self, goods: usize) -> Result<(), Unknown> {
        let digest = self.client.stock.goods[goods].digest.clone();
        let before = self.common.with(&digest, |deletes| *deletes);
        self.client.push(COMMON, goods, None)?;
        self.common.with(&digest, |deletes| {
            if before.begun == before.ended {
                deletes.pushed_after = Some(before.begun);
            }
        });
        self.common_pull(goods)
    }

    fn common_pull(&mut self, goods: usize) -> Result<(), Unknown> {
        let digest = self.client.stock.goods[goods].digest.clone();
        let before = self.common.with(&digest, |deletes| *deletes);
        let promised = before.begun == before.ended && before.pushed_after == Some(before.begun);
        let wrong = self.client.pull(COMMON, goods, &digest)?;
        let after = self.common.with(&digest, |deletes| *deletes);
        if let Some(wrong) = wrong.filter(|_| promised && after.begun == before.begun) {
            self.client.tally.fail(format!("damaged: {wrong}"));
        }
        Ok(())
    }

    fn common_delete(&mut self, goods: usize) -> Result<(), Unknown> {
        let digest = self.client.stock.goods[goods].digest.clone();
        self.common.with(&digest, |deletes| deletes.begun += 1);
        self.client.delete(COMMON, &digest)?;
        self.common.with(&digest, |deletes| deletes.ended += 1);
        Ok(())
    }

    /// Everything once more, when all is quiet.
    pub fn check(&mut self) {
        if self.unsure {
            self.client.tally.count("unsure at the end");
            return;
        }
        for (goods, reference) in self.promises() {
            if self.pull(goods, &reference).is_err() {
                self.client
                    .tally
                    .fail(format!("{reference}: no answer at the end"));
            }
        }
        let _ = self.lists();
    }

    /// The same for what all share.
    pub fn check_common(&mut self) {
        for digest in self.common.promised() {
            let goods = self.client.stock.find(&digest).expect("one of the goods");
            let _ = self.common_pull(goods);
        }
    }
}
