//! A file system's content: what processes see, and what is on the medium.
//!
//! The two are kept apart. A file has its content and the writes that were not
//! synced; a directory has its names and those on the medium; changes of names
//! wait in one list until a directory that they touch is synced. A change with
//! two names (a rename) reaches the medium whole, or not at all.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use super::random::Random;

/// A file or directory, by its place in [`Tree::nodes`]. None is ever reused.
pub(super) type Inode = usize;

/// Everything below the root, which is node 0.
#[derive(Clone)]
pub(super) struct Tree {
    nodes: Vec<Arc<Node>>,
    /// Oldest first.
    unsynced: Vec<Arc<Change>>,
    /// How much older every file is than its time says.
    aged: Duration,
}

#[derive(Clone)]
enum Node {
    File(FileNode),
    Dir(DirNode),
}

#[derive(Clone)]
struct FileNode {
    content: Vec<u8>,
    synced: Vec<u8>,
    /// What a sync would add to `synced`.
    writes: Vec<Write>,
    modified: SystemTime,
}

#[derive(Clone)]
struct Write {
    offset: usize,
    bytes: Vec<u8>,
}

#[derive(Clone, Default)]
struct DirNode {
    names: BTreeMap<String, Inode>,
    synced: BTreeMap<String, Inode>,
}

/// Names that change together.
#[derive(Clone)]
struct Change(Vec<Slot>);

#[derive(Clone)]
struct Slot {
    dir: Inode,
    name: String,
    inode: Option<Inode>,
}

/// What a node is, for `stat`.
pub(super) struct About {
    pub(super) is_dir: bool,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            nodes: vec![Arc::new(Node::Dir(DirNode::default()))],
            unsynced: Vec::new(),
            aged: Duration::ZERO,
        }
    }
}

impl Tree {
    /// What lies at a path.
    pub(super) fn find(&self, path: &Path) -> io::Result<Inode> {
        let mut at = 0;
        for name in names(path) {
            let Node::Dir(dir) = &*self.nodes[at] else {
                return Err(Errno::NOTDIR.into());
            };
            at = *dir.names.get(name).ok_or(Errno::NOENT)?;
        }
        Ok(at)
    }

    pub(super) fn about(&self, inode: Inode) -> About {
        match &*self.nodes[inode] {
            Node::File(file) => About {
                is_dir: false,
                size: file.content.len() as u64,
                modified: file.modified - self.aged,
            },
            Node::Dir(_) => About {
                is_dir: true,
                size: 0,
                modified: SystemTime::now() - self.aged,
            },
        }
    }

    /// The names in a directory, and whether they are directories'.
    pub(super) fn list(&self, dir: Inode) -> io::Result<Vec<(String, bool)>> {
        let Node::Dir(dir) = &*self.nodes[dir] else {
            return Err(Errno::NOTDIR.into());
        };
        let entry = |(name, inode): (&String, &Inode)| {
            let is_dir = matches!(&*self.nodes[*inode], Node::Dir(_));
            (name.clone(), is_dir)
        };
        Ok(dir.names.iter().map(entry).collect())
    }

    pub(super) fn content(&self, file: Inode) -> io::Result<&[u8]> {
        match &*self.nodes[file] {
            Node::File(file) => Ok(&file.content),
            Node::Dir(_) => Err(Errno::ISDIR.into()),
        }
    }

    pub(super) fn mkdir(&mut self, path: &Path) -> io::Result<()> {
        self.add(path, Node::Dir(DirNode::default())).map(drop)
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<Inode> {
        let file = FileNode {
            content: Vec::new(),
            synced: Vec::new(),
            writes: Vec::new(),
            modified: SystemTime::now() + self.aged,
        };
        self.add(path, Node::File(file))
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<Inode> {
        let (dir, name) = self.place(path)?;
        if self.dir(dir).names.contains_key(name) {
            return Err(Errno::EXIST.into());
        }
        self.nodes.push(Arc::new(node));
        let inode = self.nodes.len() - 1;
        self.change(vec![(dir, name, Some(inode))]);
        Ok(inode)
    }

    pub(super) fn write(&mut self, file: Inode, bytes: &[u8], offset: u64) {
        let now = SystemTime::now() + self.aged;
        if let Node::File(file) = Arc::make_mut(&mut self.nodes[file]) {
            let write = Write {
                offset: usize::try_from(offset).unwrap(),
                bytes: bytes.to_vec(),
            };
            apply(&mut file.content, write.offset, &write.bytes);
            file.writes.push(write);
            file.modified = now;
        }
    }

    /// The content of a file reaches the medium.
    pub(super) fn sync(&mut self, inode: Inode) {
        match &*self.nodes[inode] {
            Node::File(file) if file.writes.is_empty() => {}
            Node::File(_) => {
                if let Node::File(file) = Arc::make_mut(&mut self.nodes[inode]) {
                    for write in file.writes.drain(..) {
                        apply(&mut file.synced, write.offset, &write.bytes);
                    }
                }
            }
            Node::Dir(_) => self.sync_names(inode),
        }
    }

    /// A sync failed: the kernel has marked the pages clean, so no later sync
    /// writes them, though processes go on seeing them.
    pub(super) fn fail_to_sync(&mut self, inode: Inode) {
        if let Node::File(file) = Arc::make_mut(&mut self.nodes[inode]) {
            file.writes.clear();
        }
    }

    /// Every change that touches the directory reaches the medium.
    pub(super) fn sync_names(&mut self, dir: Inode) {
        let mut waiting: Vec<Arc<Change>> = Vec::new();
        for change in std::mem::take(&mut self.unsynced) {
            if !change.0.iter().any(|slot| slot.dir == dir) {
                waiting.push(change);
                continue;
            }
            for slot in &change.0 {
                // What came before at this name is past.
                for earlier in &mut waiting {
                    let same = |other: &Slot| other.dir == slot.dir && other.name == slot.name;
                    if earlier.0.iter().any(same) {
                        Arc::make_mut(earlier).0.retain(|other| !same(other));
                    }
                }
                self.put_on_medium(slot);
            }
        }
        waiting.retain(|change| !change.0.is_empty());
        self.unsynced = waiting;
    }

    /// Everything reaches the medium.
    pub(super) fn sync_all(&mut self) {
        for inode in 0..self.nodes.len() {
            match &*self.nodes[inode] {
                Node::File(_) => self.sync(inode),
                Node::Dir(_) => {}
            }
        }
        for change in std::mem::take(&mut self.unsynced) {
            for slot in &change.0 {
                self.put_on_medium(slot);
            }
        }
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (source, source_name) = self.place(from)?;
        let (target, target_name) = self.place(to)?;
        let inode = self.dir(source).names.get(source_name).copied();
        let inode = inode.ok_or(Errno::NOENT)?;
        self.check_file(target, target_name)?;
        self.change(vec![
            (source, source_name, None),
            (target, target_name, Some(inode)),
        ]);
        Ok(())
    }

    pub(super) fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.find(from)?;
        let (dir, name) = self.place(to)?;
        if self.dir(dir).names.contains_key(name) {
            return Err(Errno::EXIST.into());
        }
        self.change(vec![(dir, name, Some(inode))]);
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.place(path)?;
        if !self.dir(dir).names.contains_key(name) {
            return Err(Errno::NOENT.into());
        }
        self.check_file(dir, name)?;
        self.change(vec![(dir, name, None)]);
        Ok(())
    }

    pub(super) fn rmdir(&mut self, path: &Path) -> io::Result<()> {
        let inode = self.find(path)?;
        match &*self.nodes[inode] {
            Node::Dir(dir) if dir.names.is_empty() => {}
            Node::Dir(_) => return Err(Errno::NOTEMPTY.into()),
            Node::File(_) => return Err(Errno::NOTDIR.into()),
        }
        let (dir, name) = self.place(path)?;
        self.change(vec![(dir, name, None)]);
        Ok(())
    }

    /// What the medium holds when the power fails now: of everything that was
    /// not synced any part may have come there. All files are days older then.
    pub(super) fn crashed(&self, random: &mut Random) -> Self {
        let mut tree = self.clone();
        tree.aged += Duration::from_secs(2 * 24 * 3600);
        let keeping = Keeping::some(random);
        for change in std::mem::take(&mut tree.unsynced) {
            if keeping.keeps(random) {
                for slot in &change.0 {
                    tree.put_on_medium(slot);
                }
            }
        }
        for node in &mut tree.nodes {
            let stale = match &**node {
                Node::File(file) => !file.writes.is_empty() || file.content != file.synced,
                Node::Dir(dir) => dir.names != dir.synced,
            };
            if !stale {
                continue;
            }
            match Arc::make_mut(node) {
                Node::File(file) => {
                    for write in file.writes.drain(..) {
                        keeping.tear(write, &mut file.synced, random);
                    }
                    file.content.clone_from(&file.synced);
                }
                Node::Dir(dir) => dir.names.clone_from(&dir.synced),
            }
        }
        tree
    }

    /// The same without what no name leads to. Only of a tree whose every
    /// change is on the medium.
    pub(super) fn compacted(&self) -> Self {
        let mut tree = Self {
            nodes: Vec::new(),
            unsynced: Vec::new(),
            aged: self.aged,
        };
        let mut moved = BTreeMap::new();
        self.carry(0, &mut tree, &mut moved);
        tree
    }

    fn carry(&self, inode: Inode, into: &mut Self, moved: &mut BTreeMap<Inode, Inode>) -> Inode {
        if let Some(known) = moved.get(&inode) {
            return *known;
        }
        let place = into.nodes.len();
        moved.insert(inode, place);
        into.nodes.push(self.nodes[inode].clone());
        if let Node::Dir(dir) = &*self.nodes[inode] {
            let entries = dir.names.iter();
            let names: BTreeMap<_, _> = entries
                .map(|(name, inode)| (name.clone(), self.carry(*inode, into, moved)))
                .collect();
            into.nodes[place] = Arc::new(Node::Dir(DirNode {
                synced: names.clone(),
                names,
            }));
        }
        place
    }

    /// All files are so much older from now on.
    pub(super) fn age(&mut self, by: Duration) {
        self.aged += by;
    }

    /// Every file below a directory, with its path.
    pub(super) fn files(&self, dir: Inode, path: &str, visit: &mut dyn FnMut(&str, &[u8])) {
        let Node::Dir(dir) = &*self.nodes[dir] else {
            return;
        };
        for (name, inode) in &dir.names {
            let path = format!("{path}/{name}");
            match &*self.nodes[*inode] {
                Node::File(file) => visit(&path, &file.content),
                Node::Dir(_) => self.files(*inode, &path, visit),
            }
        }
    }

    fn change(&mut self, slots: Vec<(Inode, &str, Option<Inode>)>) {
        let slots = slots.into_iter().map(|(dir, name, inode)| Slot {
            dir,
            name: name.to_owned(),
            inode,
        });
        let change = Change(slots.collect());
        for slot in &change.0 {
            if let Node::Dir(dir) = Arc::make_mut(&mut self.nodes[slot.dir]) {
                set(&mut dir.names, slot);
            }
        }
        self.unsynced.push(Arc::new(change));
    }

    fn put_on_medium(&mut self, slot: &Slot) {
        if let Node::Dir(dir) = Arc::make_mut(&mut self.nodes[slot.dir]) {
            set(&mut dir.synced, slot);
        }
    }

    /// The directory of a path, and the name in it.
    fn place<'a>(&self, path: &'a Path) -> io::Result<(Inode, &'a str)> {
        let name = path.file_name().and_then(|name| name.to_str());
        let dir = self.find(path.parent().ok_or(Errno::BUSY)?)?;
        match &*self.nodes[dir] {
            Node::Dir(_) => Ok((dir, name.ok_or(Errno::INVAL)?)),
            Node::File(_) => Err(Errno::NOTDIR.into()),
        }
    }

    fn dir(&self, inode: Inode) -> &DirNode {
        match &*self.nodes[inode] {
            Node::Dir(dir) => dir,
            Node::File(_) => panic!("not a directory"),
        }
    }

    /// What is replaced or removed by its name is no directory.
    fn check_file(&self, dir: Inode, name: &str) -> io::Result<()> {
        match self
            .dir(dir)
            .names
            .get(name)
            .map(|node| &*self.nodes[*node])
        {
            Some(Node::Dir(_)) => Err(Errno::ISDIR.into()),
            _ => Ok(()),
        }
    }
}

/// How much of what was not synced is on the medium after all.
#[derive(Clone, Copy)]
enum Keeping {
    Nothing,
    Everything,
    /// One in so many is lost.
    AllBut(u64),
    /// One in so many is kept.
    Only(u64),
}

impl Keeping {
    fn some(random: &mut Random) -> Self {
        match random.below(8) {
            0 => Self::Nothing,
            1 => Self::Everything,
            2 | 3 => Self::AllBut(8),
            4 => Self::Only(8),
            _ => Self::Only(2),
        }
    }

    fn keeps(self, random: &mut Random) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::AllBut(many) => random.below(many) != 0,
            Self::Only(many) => random.below(many) == 0,
        }
    }

    /// A write comes to the medium whole, in part, as zeros or not at all.
    fn tear(self, write: Write, content: &mut Vec<u8>, random: &mut Random) {
        if self.keeps(random) {
            return apply(content, write.offset, &write.bytes);
        }
        let length = write.bytes.len() as u64;
        match random.below(4) {
            0 if length > 0 => {
                let torn = usize::try_from(random.below(length)).unwrap();
                apply(content, write.offset, &write.bytes[..torn]);
            }
            1 => apply(content, write.offset, &vec![0; write.bytes.len()]),
            _ => {}
        }
    }
}

fn apply(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

fn set(names: &mut BTreeMap<String, Inode>, slot: &Slot) {
    match slot.inode {
        Some(inode) => {
            names.insert(slot.name.clone(), inode);
        }
        None => {
            names.remove(&slot.name);
        }
    }
}

fn names(path: &Path) -> impl Iterator<Item = &str> {
    path.to_str()
        .unwrap_or_default()
        .split('/')
        .filter(|name| !name.is_empty())
}
