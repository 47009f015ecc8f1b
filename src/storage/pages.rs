//! Goes through the names below a prefix a page at a time: memory for one page,
//! however many there are.

use super::{Child, Prefix, StorageError, Store};

/// A walk over [`Store::children`].
pub struct Pages {
    prefix: Prefix,
    size: usize,
    after: Option<String>,
    ended: bool,
}

impl Pages {
    /// The names below `prefix`, at most `size` (at least one) in a page.
    pub fn of(prefix: Prefix, size: usize) -> Self {
        Self {
            prefix,
            size: size.max(1),
            after: None,
            ended: false,
        }
    }

    /// The next page, in byte order behind the last; `None` behind the end. The
    /// last page may be empty.
    ///
    /// # Errors
    /// Those of the store; the same page can be asked for again.
    pub async fn next(&mut self, store: &dyn Store) -> Result<Option<Vec<Child>>, StorageError> {
        if self.ended {
            return Ok(None);
        }
        let listed = store.children(&self.prefix, self.after.as_deref(), self.size);
        let page = listed.await?;
        match page.get(self.size - 1) {
            Some(last) => self.after = Some(last.name.clone()),
            None => self.ended = true,
        }
        Ok(Some(page))
    }
}
