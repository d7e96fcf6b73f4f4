//! What a worker has found a moment ago, so that a file that is asked for often costs no system call but the sending.
//!
//! Kept in two halves: what is used moves to the younger one, which becomes the older when it is full or some seconds
//! old; what was in the older one by then is forgotten, and its files are closed. So a removed release gives its disk
//! space back, without a list of what was used when.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::read::PIECE;
use super::resource::Resource;

/// For so long a file is served without looking whether it is still the same.
const FRESH_MS: u64 = 1_000;
const MAX_ENTRIES: usize = 256;
const MAX_MEMORY: usize = 4 * 1024 * 1024;
const MAX_SPARE: usize = 16;

type Half = HashMap<Vec<u8>, Found>;

#[derive(Clone)]
struct Found {
    resource: Rc<Resource>,
    until_ms: u64,
}

#[derive(Default)]
pub struct Cache {
    younger: RefCell<Half>,
    older: RefCell<Half>,
    /// Of the younger half.
    memory: Cell<usize>,
    pieces: RefCell<Vec<Vec<u8>>>,
}

impl Cache {
    /// What is known by a key, if that was seen lately.
    pub fn get(&self, key: &[u8], now_ms: u64) -> Option<Rc<Resource>> {
        let is_fresh = |found: &&Found| now_ms < found.until_ms;
        if let Some(found) = self.younger.borrow().get(key).filter(is_fresh) {
            return Some(found.resource.clone());
        }
        let (key, found) = self.older.borrow_mut().remove_entry(key)?;
        let resource = found.resource.clone();
        let is_fresh = is_fresh(&&found);
        if is_fresh {
            self.insert(key, found);
        }
        is_fresh.then_some(resource)
    }

    pub fn put(&self, key: Vec<u8>, resource: Rc<Resource>, now_ms: u64) {
        let until_ms = now_ms + FRESH_MS;
        self.insert(key, Found { resource, until_ms });
    }

    fn insert(&self, key: Vec<u8>, found: Found) {
        let memory = self.memory.get() + found.resource.memory();
        self.memory.set(memory);
        let entries = {
            let mut younger = self.younger.borrow_mut();
            younger.insert(key, found);
            younger.len()
        };
        if entries >= MAX_ENTRIES || memory >= MAX_MEMORY {
            self.age();
        }
    }

    /// Forgets what was not asked for since the last time.
    pub fn age(&self) {
        self.memory.set(0);
        let younger = self.younger.take();
        self.older.replace(younger);
    }

    /// Room for a piece of a file.
    pub fn piece(&self) -> Vec<u8> {
        let spare = self.pieces.borrow_mut().pop();
        spare.unwrap_or_default()
    }

    pub fn give_piece(&self, piece: Vec<u8>) {
        let mut pieces = self.pieces.borrow_mut();
        if pieces.len() < MAX_SPARE && piece.capacity() >= PIECE {
            pieces.push(piece);
        }
    }
}
