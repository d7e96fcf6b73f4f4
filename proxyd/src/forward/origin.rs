//! Where requests come from: what is the same for all of a connection's.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::worker::{Worker, clients};

pub struct Origin {
    pub worker: Rc<Worker>,
    pub peer: IpAddr,
    pub is_https: bool,
    counter: RefCell<Arc<clients::Client>>,
}

impl Origin {
    #[must_use]
    pub fn new(worker: Rc<Worker>, peer: IpAddr, is_https: bool) -> Self {
        let counter = RefCell::new(worker.shared.clients.find(peer));
        Self {
            worker,
            peer,
            is_https,
            counter,
        }
    }

    /// The counter of the address a request comes from: the same as of the last request, nearly always.
    pub fn counter(&self, ip: IpAddr) -> Arc<clients::Client> {
        let mut counter = self.counter.borrow_mut();
        if counter.ip != ip {
            *counter = self.worker.shared.clients.find(ip);
        }
        counter.clone()
    }
}
