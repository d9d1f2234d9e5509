//! What Placement has given out: by consumer, and in sum by host, which a cloud of thousands is asked for all the time.

use super::Room;
use std::collections::BTreeMap;

/// Consumer → host → room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allocations {
    of: BTreeMap<String, BTreeMap<String, Room>>,
    used: BTreeMap<String, Room>,
}

impl Allocations {
    pub fn get(&self, consumer: &str) -> Option<&BTreeMap<String, Room>> {
        self.of.get(consumer)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &BTreeMap<String, Room>)> {
        self.of.iter()
    }

    /// All that is given out on a host.
    pub fn used(&self, host: &str) -> Room {
        self.used.get(host).copied().unwrap_or_default()
    }

    /// Replaces what the consumer has there.
    pub fn put(&mut self, consumer: &str, host: &str, room: Room) {
        let old = self.of.entry(consumer.into()).or_default().insert(host.into(), room);
        let used = self.used.entry(host.into()).or_default();
        *used = used.plus(room).minus(old.unwrap_or_default());
    }

    /// Takes what the consumer has there away.
    pub fn release(&mut self, consumer: &str, host: &str) {
        let Some(on) = self.of.get_mut(consumer) else { return };
        let gone = on.remove(host);
        if on.is_empty() {
            self.of.remove(consumer);
        }
        self.give_back(host, gone.unwrap_or_default());
    }

    /// Takes all that the consumer has away.
    pub fn remove(&mut self, consumer: &str) {
        for (host, room) in self.of.remove(consumer).unwrap_or_default() {
            self.give_back(&host, room);
        }
    }

    fn give_back(&mut self, host: &str, room: Room) {
        if let Some(used) = self.used.get_mut(host) {
            *used = used.minus(room);
        }
    }
}
