//! How many connections are open, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::neighbourhood;

/// Counts connections; see [`super::Limits::connections`] and
/// [`super::Limits::per_address`].
#[derive(Debug)]
pub(super) struct Slots {
    total: Arc<Semaphore>,
    per_address: usize,
    taken: Arc<Mutex<Taken>>,
}

/// Connections from each address that has any.
type Taken = HashMap<IpAddr, usize>;

/// The right to one more connection.
pub(super) type Permit = OwnedSemaphorePermit;

/// One open connection; frees its place when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    _permit: Permit,
    counted: Option<(Arc<Mutex<Taken>>, IpAddr)>,
}

impl Slots {
    pub(super) fn new(total: usize, per_address: usize) -> Self {
        Self {
            total: Arc::new(Semaphore::new(total.min(Semaphore::MAX_PERMITS))),
            per_address,
            taken: Arc::default(),
        }
    }

    /// A permit if one is free now.
    pub(super) fn free(&self) -> Option<Permit> {
        Arc::clone(&self.total).try_acquire_owned().ok()
    }

    /// Waits for a permit.
    pub(super) async fn wait(&self) -> Option<Permit> {
        Arc::clone(&self.total).acquire_owned().await.ok()
    }

    /// A place for a connection from `address`, or `None` if that one has too
    /// many. Connections without an address (unix sockets) only count in all.
    pub(super) fn enter(&self, permit: Permit, address: Option<IpAddr>) -> Option<Slot> {
        let counted = match address {
            None => None,
            Some(address) => {
                let neighbourhood = neighbourhood(address);
                let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
                let count = taken.entry(neighbourhood).or_default();
                if *count >= self.per_address {
                    return None;
                }
                *count += 1;
                Some((Arc::clone(&self.taken), neighbourhood))
            }
        };
        Some(Slot {
            _permit: permit,
            counted,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some((taken, address)) = &self.counted else {
            return;
        };
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[tokio::test]
    async fn one_address_cannot_take_every_place() {
        let slots = Slots::new(10, 2);
        let enter = |from| slots.enter(slots.free().unwrap(), from);
        let first = enter(address("10.0.0.1")).unwrap();
        let _second = enter(address("10.0.0.1")).unwrap();
        assert!(enter(address("10.0.0.1")).is_none());
        assert!(enter(address("10.0.0.2")).is_some());
        assert!(enter(None).is_some());
        drop(first);
        assert!(enter(address("10.0.0.1")).is_some());
    }

    #[tokio::test]
    async fn a_network_of_ipv6_counts_as_one() {
        let slots = Slots::new(10, 1);
        let _first = slots.enter(slots.free().unwrap(), address("2001:db8::1"));
        assert!(
            slots
                .enter(slots.free().unwrap(), address("2001:db8::2"))
                .is_none()
        );
        assert!(
            slots
                .enter(slots.free().unwrap(), address("2001:db8:0:1::2"))
                .is_some()
        );
    }

    #[tokio::test]
    async fn places_in_all_are_bounded_and_come_back() {
        let slots = Slots::new(1, 10);
        let only = slots.enter(slots.wait().await.unwrap(), None).unwrap();
        assert!(slots.free().is_none());
        drop(only);
        assert!(slots.free().is_some());
        assert!(slots.taken.lock().unwrap().is_empty());
    }
}
