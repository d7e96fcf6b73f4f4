//! One request and its response, on a stream of an HTTP/2 connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::request::Parts;

use super::connection::Session;
use super::request::{self, Unfit};
use super::response;
use crate::forward::answer::Answer;
use crate::forward::downstream::{Downstream, Framing, Head, push_field};
use crate::forward::exchange::{self, Outcome, Progress};
use crate::forward::fault::Fault;
use crate::forward::origin::Origin;
use crate::forward::plan::{Forward, Plan, plan};
use crate::forward::upload;
use crate::forward::wire::Wire;
use crate::http1::request::MAX_BODY;
use crate::http1::{Body, chunked};

/// The client's side of an exchange.
pub struct Stream {
    session: Rc<Session>,
    body: RefCell<RecvStream>,
    response: RefCell<SendResponse<Bytes>>,
    /// Once the response has begun.
    sending: RefCell<Option<SendStream<Bytes>>>,
}

/// Decides about a request and begins with it.
pub fn begin(
    session: &Rc<Session>,
    parts: &Parts,
    body: RecvStream,
    mut response: SendResponse<Bytes>,
) {
    let origin = &session.origin;
    let ended = body.is_end_stream();
    let planned = request::look(parts, ended, |request| {
        let scratch = origin.worker.buffers.scratch();
        origin
            .worker
            .with_table(|table| plan(table, origin, request, scratch))
    });
    let planned = match planned {
        Ok(planned) => planned,
        Err(Unfit::Malformed(reason)) => {
            log_refused(origin.peer, reason);
            return response.send_reset(Reason::PROTOCOL_ERROR);
        }
        Err(Unfit::Refused(refusal)) => {
            log_refused(origin.peer, refusal.reason);
            Plan::Answer(
                Answer {
                    to_head: parts.method == http::Method::HEAD,
                    ..Answer::of(refusal.status)
                },
                None,
            )
        }
    };
    let stream = Stream {
        session: session.clone(),
        body: RefCell::new(body),
        response: RefCell::new(response),
        sending: RefCell::new(None),
    };
    session.opened();
    tokio::task::spawn_local(stream.run(planned));
}

fn log_refused(peer: IpAddr, reason: &str) {
    log::debug!("{peer} refused: {reason}");
}

impl Drop for Stream {
    fn drop(&mut self) {
        let was_answered = self.sending.get_mut().is_some();
        self.session.closed(was_answered);
    }
}

impl Stream {
    async fn run(self, planned: Plan) {
        let whole = match planned {
            Plan::Forward(forward) => {
                let outcome = exchange::run(&self, *forward).await;
                matches!(outcome, Outcome::Answered { .. })
            }
            Plan::Answer(answer, record) => answer.send(&self, record.as_deref()).await.is_ok(),
        };
        if !whole {
            // A response that was cut off must not look like one that ended. For a stream that is closed it does nothing.
            let reason = Reason::INTERNAL_ERROR;
            match &mut *self.sending.borrow_mut() {
                Some(sending) => sending.send_reset(reason),
                None => self.response.borrow_mut().send_reset(reason),
            }
        }
        // A request that was answered before its end is given up with NO_ERROR when the stream is dropped.
    }

    /// Waits until so much, or some of it, may be sent.
    async fn room(&self, wanted: usize) -> Result<usize, Fault> {
        let waiting = poll_fn(|context| {
            let mut sending = self.sending.borrow_mut();
            let Some(sending) = sending.as_mut() else {
                return Err(Fault::ClientGone).into();
            };
            sending.reserve_capacity(wanted);
            loop {
                let room = sending.capacity();
                if room > 0 {
                    return Ok(room.min(wanted)).into();
                }
                match std::task::ready!(sending.poll_capacity(context)) {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Err(Fault::ClientGone).into(),
                }
            }
        });
        let worker = &self.session.origin.worker;
        worker
            .timers
            .within(worker.timeouts().send_ms, waiting)
            .await
            .unwrap_or(Err(Fault::ClientGone))
    }

    fn send(&self, data: Bytes, last: bool) -> Result<(), Fault> {
        match &mut *self.sending.borrow_mut() {
            Some(sending) => sending.send_data(data, last).map_err(|_| Fault::ClientGone),
            None => Err(Fault::ClientGone),
        }
    }

    /// Receives a piece of the body; none is its end.
    async fn receive(&self) -> Result<Option<Bytes>, Fault> {
        let receiving = poll_fn(|context| self.body.borrow_mut().poll_data(context));
        let worker = &self.session.origin.worker;
        match worker
            .timers
            .within(worker.timeouts().body_ms, receiving)
            .await
        {
            Ok(Some(Ok(data))) => Ok(Some(data)),
            Ok(Some(Err(_))) => Err(Fault::ClientGone),
            Ok(None) => Ok(None),
            Err(_) => Err(Fault::ClientSlow),
        }
    }

    async fn upload_pieces(&self, upstream: &Wire, is_chunked: bool) -> Result<(), Fault> {
        let origin = &self.session.origin;
        let mut total = 0;
        while let Some(data) = self.receive().await? {
            total += data.len() as u64;
            if total > MAX_BODY {
                return Err(Fault::BodyTooLarge);
            }
            if is_chunked && !data.is_empty() {
                let mut size = Vec::with_capacity(8);
                chunked::write_size(&mut size, data.len());
                upload::write(origin, upstream, [&size, &data, b"\r\n"]).await?;
            } else {
                upload::write(origin, upstream, [&data, &[], &[]]).await?;
            }
            let count = data.len();
            drop(data);
            // Only what the instance has taken makes room for more; it fails for a stream that is closed.
            let _ = self
                .body
                .borrow_mut()
                .flow_control()
                .release_capacity(count);
        }
        Ok(())
    }

    /// The trailers as lines of HTTP/1.1, with the empty one.
    async fn trailers(&self) -> Result<Vec<u8>, Fault> {
        let receiving = poll_fn(|context| self.body.borrow_mut().poll_trailers(context));
        let worker = &self.session.origin.worker;
        let received = worker
            .timers
            .within(worker.timeouts().body_ms, receiving)
            .await;
        let fields = received
            .map_err(|_| Fault::ClientSlow)?
            .map_err(|_| Fault::ClientGone)?;
        let mut lines = Vec::new();
        for (name, value) in fields.iter().flatten() {
            push_field(&mut lines, name.as_str(), value.as_bytes());
        }
        lines.extend_from_slice(b"\r\n");
        chunked::check_trailers(&lines)?;
        Ok(lines)
    }
}

impl Downstream for Stream {
    fn origin(&self) -> &Origin {
        &self.session.origin
    }

    async fn upload(
        &self,
        upstream: &Wire,
        forward: &Forward,
        progress: &Progress,
    ) -> Result<(), Fault> {
        if forward.expects_continue && !progress.answered.get() {
            let mut go_on = http::Response::new(());
            *go_on.status_mut() = http::StatusCode::CONTINUE;
            let sent = self.response.borrow_mut().send_informational(go_on);
            sent.map_err(|_| Fault::ClientGone)?;
        }
        let is_chunked = forward.body == Body::Chunked;
        self.upload_pieces(upstream, is_chunked).await?;
        if is_chunked {
            let trailers = self.trailers().await?;
            let pieces = [b"0\r\n", &trailers[..], &[]];
            upload::write(&self.session.origin, upstream, pieces).await?;
        }
        Ok(())
    }

    async fn gone(&self) {
        // Whether by a reset or with its connection: there is nobody any more.
        let _ = poll_fn(|context| match &mut *self.sending.borrow_mut() {
            Some(sending) => sending.poll_reset(context),
            None => self.response.borrow_mut().poll_reset(context),
        })
        .await;
    }

    fn close_after(&self) {
        // The other streams go on.
    }

    async fn interim(&self, head: &Head) -> Result<(), Fault> {
        let Some(interim) = response::head(head) else {
            return Ok(());
        };
        let sent = self.response.borrow_mut().send_informational(interim);
        sent.map_err(|_| Fault::ClientGone)
    }

    async fn begin(&self, head: Head, _: Framing, first: &[u8], last: bool) -> Result<(), Fault> {
        let response = response::head(&head);
        let buffers = &self.session.origin.worker.buffers;
        buffers.give_scratch(head.into_bytes());
        let response = response.ok_or(Fault::UpstreamBroken("a field HTTP/2 cannot say"))?;
        let ended = last && first.is_empty();
        let sent = self.response.borrow_mut().send_response(response, ended);
        *self.sending.borrow_mut() = Some(sent.map_err(|_| Fault::ClientGone)?);
        if first.is_empty() {
            return Ok(());
        }
        self.data(first, last).await
    }

    async fn data(&self, piece: &[u8], last: bool) -> Result<(), Fault> {
        let mut rest = piece;
        while !rest.is_empty() {
            let room = self.room(rest.len()).await?;
            let (here, later) = rest.split_at(room);
            rest = later;
            self.send(Bytes::copy_from_slice(here), last && rest.is_empty())?;
        }
        if last && piece.is_empty() {
            self.send(Bytes::new(), true)?;
        }
        Ok(())
    }

    async fn end(&self, trailers: &[u8]) -> Result<(), Fault> {
        if trailers.is_empty() {
            return self.send(Bytes::new(), true);
        }
        let fields = response::fields(trailers);
        let fields = fields.ok_or(Fault::UpstreamBroken("a trailer HTTP/2 cannot say"))?;
        match &mut *self.sending.borrow_mut() {
            Some(sending) => sending.send_trailers(fields).map_err(|_| Fault::ClientGone),
            None => Err(Fault::ClientGone),
        }
    }
}
