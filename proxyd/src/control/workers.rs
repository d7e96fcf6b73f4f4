//! The workers as the control part sees them: told all together.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

use crate::control::messages::StartFailure;
use crate::listen::{self, Listener};
use crate::table::Table;
use crate::worker::{self, Order, Shared};

pub struct Workers {
    orders: Vec<mpsc::UnboundedSender<Order>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub fn start(
        count: usize,
        shared: &Arc<Shared>,
        table: &Arc<Table>,
        tls: &TlsAcceptor,
    ) -> std::io::Result<Self> {
        let (mut orders, mut threads) = (Vec::new(), Vec::new());
        for lane in 0..count {
            let (sender, receiver) = mpsc::unbounded_channel();
            let (shared, table, tls) = (shared.clone(), table.clone(), tls.clone());
            let thread = std::thread::Builder::new().name(format!("worker-{lane}"));
            threads.push(thread.spawn(move || {
                if let Err(error) = worker::run(lane, shared, table, tls, receiver) {
                    log::error!("worker {lane}: {error}");
                }
            })?);
            orders.push(sender);
        }
        Ok(Self { orders, threads })
    }

    pub fn count(&self) -> usize {
        self.orders.len()
    }

    /// Gives all of them the table; returns when every new request is decided by it.
    pub async fn use_table(&self, table: &Arc<Table>) {
        let mut answers = Vec::new();
        for worker in &self.orders {
            let (done, answer) = oneshot::channel();
            // A worker that has ended decides nothing any more.
            if worker.send(Order::Use(table.clone(), done)).is_ok() {
                answers.push(answer);
            }
        }
        for answer in answers {
            let _ = answer.await;
        }
    }

    pub fn listen(&self, listeners: &[Listener]) -> std::io::Result<()> {
        let shares = listen::share_out(listeners, self.count())?;
        for (worker, share) in self.orders.iter().zip(shares) {
            let _ = worker.send(Order::Listen(share));
        }
        Ok(())
    }

    pub fn start_failed(&self, app: &Arc<str>, reason: StartFailure) {
        self.tell(|| Order::StartFailed(app.clone(), reason));
    }

    pub fn finish(&self) {
        self.tell(|| Order::Finish);
    }

    pub fn close_idle(&self) {
        self.tell(|| Order::CloseIdle);
    }

    /// Ends them although connections are open.
    pub fn end(&mut self) {
        self.orders.clear();
    }

    fn tell(&self, order: impl Fn() -> Order) {
        for worker in &self.orders {
            let _ = worker.send(order());
        }
    }

    pub fn have_ended(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }
}

/// The addresses for a person and for tests: which port a scheme is served on.
#[must_use]
pub fn address(socket: &TcpListener) -> String {
    socket
        .local_addr()
        .map_or_else(|error| error.to_string(), |addr| addr.to_string())
}
