//! How many requests each client address has in progress, over all workers.
//!
//! A connection looks its address up once and keeps the counter, so that a request costs one addition.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The counter of one address.
pub struct Client {
    pub ip: IpAddr,
    active: AtomicU32,
}

#[derive(Default)]
pub struct Clients {
    by_ip: Mutex<HashMap<IpAddr, Arc<Client>>>,
}

impl Clients {
    pub fn find(&self, ip: IpAddr) -> Arc<Client> {
        let mut by_ip = self.by_ip.lock().unwrap_or_else(PoisonError::into_inner);
        let client = by_ip.entry(ip).or_insert_with(|| {
            let active = AtomicU32::new(0);
            Arc::new(Client { ip, active })
        });
        client.clone()
    }

    /// Forgets addresses nobody holds; called now and then.
    pub fn sweep(&self) {
        let mut by_ip = self.by_ip.lock().unwrap_or_else(PoisonError::into_inner);
        by_ip.retain(|_, client| Arc::strong_count(client) > 1);
        if by_ip.len() * 4 < by_ip.capacity() {
            by_ip.shrink_to_fit();
        }
    }
}

/// A request in progress; counted until dropped.
pub struct Active(Arc<Client>);

impl Active {
    /// None when the address has as many as it may.
    pub fn begin(client: &Arc<Client>, limit: u32) -> Option<Self> {
        let before = client.active.fetch_add(1, Ordering::Relaxed);
        let active = Self(client.clone());
        (before < limit).then_some(active)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_no_more_than_its_limit() {
        let clients = Clients::default();
        let ip = "10.0.0.1".parse().unwrap();
        let client = clients.find(ip);
        let one = Active::begin(&client, 2);
        let two = Active::begin(&clients.find(ip), 2);
        assert!(one.is_some() && two.is_some());
        assert!(Active::begin(&client, 2).is_none());
        drop(one);
        assert!(Active::begin(&client, 2).is_some());
    }

    #[test]
    fn addresses_nobody_holds_are_forgotten() {
        let clients = Clients::default();
        let held = clients.find("10.0.0.1".parse().unwrap());
        drop(clients.find("10.0.0.2".parse().unwrap()));
        clients.sweep();
        assert_eq!(clients.by_ip.lock().unwrap().len(), 1);
        drop(held);
        clients.sweep();
        assert!(clients.by_ip.lock().unwrap().is_empty());
    }
}
