//! Answering a request with one of the app's public files.

use std::rc::Rc;
use std::sync::Arc;

use rustix::io::Errno;

use super::answer::{Answer, phrase};
use super::downstream::{Downstream, Framing, Head, split_lines};
use super::exchange::Outcome;
use super::fault::Fault;
use super::plan::Forward;
use crate::compress::ranked;
use crate::files::conditions::{Verdict, judge};
use crate::files::folder::{Folder, Known, Opened};
use crate::files::path::{Located, locate};
use crate::files::resource::{Content, File, Resource};
use crate::files::{Patience, read};
use crate::record::{self, Handler, Record};
use crate::worker::clock::now_ms;

/// A request that may be for a file.
pub enum Candidate {
    Traversal,
    File {
        folder: Arc<Folder>,
        /// None when nobody has looked for it yet.
        opened: Option<Arc<Opened>>,
        /// Where to look for it, in turn.
        paths: Vec<Vec<u8>>,
    },
}

/// Decides whether it is worth looking for a file; makes no system call.
pub fn candidate(forward: &Forward) -> Option<Candidate> {
    let pattern = forward.public.as_ref()?;
    let folder = forward.app.public.as_ref()?;
    let path = path(&forward.head);
    let stripped = prefix(pattern).and_then(|prefix| path.strip_prefix(prefix.as_bytes()));
    let opened = match folder.known() {
        Known::Nothing => None,
        Known::Was { opened, is_due } => {
            if is_due {
                let folder = folder.clone();
                tokio::task::spawn_blocking(move || folder.look());
            }
            Some(opened)
        }
    };
    let mut paths = Vec::new();
    for path in [Some(path), stripped].into_iter().flatten() {
        match locate(path) {
            Located::Traversal => return Some(Candidate::Traversal),
            Located::File(found) => {
                let may_be_there = match &opened {
                    Some(opened) => opened
                        .as_ref()
                        .is_some_and(|opened| opened.may_have(&found)),
                    None => true,
                };
                if may_be_there {
                    paths.push(found.into_owned());
                }
            }
            Located::Nowhere => {}
        }
    }
    (!paths.is_empty()).then(|| Candidate::File {
        folder: folder.clone(),
        opened: opened.flatten(),
        paths,
    })
}

/// The path of the request line that a head begins with.
fn path(head: &[u8]) -> &[u8] {
    let target = head.split(|byte| *byte == b' ').nth(1).unwrap_or(head);
    target.split(|byte| *byte == b'?').next().unwrap_or(target)
}

/// `/app` of the pattern `example.com/app/*`: an app that is built to live at the root finds its files there, too.
fn prefix(pattern: &str) -> Option<&str> {
    let path = &pattern[pattern.find('/')?..];
    path.strip_suffix("/*").filter(|prefix| !prefix.is_empty())
}

/// Answers with the file; none when there is no such file, and the request is the app's.
pub async fn serve<'w, D: Downstream>(
    client: &D,
    forward: &Forward,
    candidate: Candidate,
) -> Option<Outcome<'w>> {
    let record = &forward.record;
    let sent = match candidate {
        Candidate::Traversal => {
            record.handled_by(Handler::Static);
            record.ended(record::Outcome::BadRequest);
            let answer = Answer {
                request_id: Some(forward.request_id().to_vec()),
                to_head: forward.to_head,
                ..Answer::of(400)
            };
            answer.send(client, Some(record)).await
        }
        Candidate::File {
            folder,
            opened,
            paths,
        } => {
            let opened = match opened {
                Some(opened) => opened,
                None => tokio::task::spawn_blocking(move || folder.look())
                    .await
                    .ok()??,
            };
            let resource = find_first(client, record, &opened, &paths).await?;
            record.handled_by(Handler::Static);
            let sent = send(client, forward, &resource).await;
            if let Err(fault) = sent {
                record.ended(fault.outcome());
            }
            sent
        }
    };
    Some(match sent {
        Ok(()) => Outcome::Answered { taken: true },
        Err(_) => Outcome::Aborted,
    })
}

async fn find_first<D: Downstream>(
    client: &D,
    record: &Record,
    opened: &Arc<Opened>,
    paths: &[Vec<u8>],
) -> Option<Rc<Resource>> {
    let worker = &client.origin().worker;
    for path in paths {
        let key = [&opened.id.to_ne_bytes(), &path[..]].concat();
        if let Some(resource) = worker.files.get(&key, now_ms()) {
            record.cached("hit");
            return Some(resource);
        }
        if let Some(resource) = find(opened, path).await {
            record.cached("miss");
            let resource = Rc::new(resource);
            worker.files.put(key, resource.clone(), now_ms());
            return Some(resource);
        }
    }
    None
}

/// Finds what is served for a path, in the kernel's memory or on disk.
async fn find(opened: &Arc<Opened>, path: &[u8]) -> Option<Resource> {
    let found = match Resource::find(opened, path, Patience::None) {
        // The disk is needed; or the kernel is too old to tell, which is found out in the same way.
        Err(Errno::AGAIN | Errno::INVAL) => {
            let (opened, path) = (opened.clone(), path.to_vec());
            let finding = tokio::task::spawn_blocking(move || {
                Resource::find(&opened, &path, Patience::Endless)
            });
            finding.await.ok()?
        }
        found => found,
    };
    match found {
        Ok(resource) => Some(resource),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => None,
        Err(error) => {
            // A link that leads out, a file that may not be read, a loop.
            let path = String::from_utf8_lossy(path);
            log::debug!("{path} is not served: {error}");
            None
        }
    }
}

async fn send<D: Downstream>(
    client: &D,
    forward: &Forward,
    resource: &Resource,
) -> Result<(), Fault> {
    let file = if resource.varies() {
        resource.choose(ranked(forward.accepted_values()))
    } else {
        resource.choose([None; 2])
    };
    let verdict = judge(split_lines(&forward.head), !forward.to_head, file.state());
    let (status, start, end) = match verdict {
        Verdict::Whole => (200, 0, file.size),
        Verdict::Part { start, end } => (206, start, end),
        Verdict::NotModified => (304, 0, 0),
        Verdict::PreconditionFailed => (412, 0, 0),
        Verdict::Unsatisfiable => (416, 0, 0),
    };
    forward.record.answered(status);
    forward.record.ended(match verdict {
        Verdict::NotModified => record::Outcome::NotModified,
        _ => record::Outcome::Ok,
    });
    let worker = &client.origin().worker;
    let mut head = Head::new(worker.buffers.scratch(), status, phrase(status));
    push_fields(&mut head, file, verdict, end - start);
    head.push("x-request-id", forward.request_id());
    head.push_date(worker);
    if forward.to_head || status == 304 {
        client.begin(head, Framing::None, &[], true).await
    } else if status >= 400 {
        let body = phrase(status).as_bytes();
        client.begin(head, Framing::Length, body, true).await
    } else {
        send_body(client, head, file, start, end).await
    }
}

fn push_fields(head: &mut Head, file: &File, verdict: Verdict, length: u64) {
    let is_error = matches!(
        verdict,
        Verdict::PreconditionFailed | Verdict::Unsatisfiable
    );
    if is_error {
        head.push("content-type", b"text/plain; charset=utf-8");
        head.push_number("content-length", phrase(head.status).len() as u64);
    } else {
        for (name, value) in file.metadata() {
            head.push(name, value.as_bytes());
        }
    }
    if matches!(verdict, Verdict::Whole | Verdict::Part { .. }) {
        for (name, value) in file.description() {
            head.push(name, value.as_bytes());
        }
        head.push_number("content-length", length);
    }
    let range = match verdict {
        Verdict::Part { start, end } => format!("bytes {start}-{}/{}", end - 1, file.size),
        Verdict::Unsatisfiable => format!("bytes */{}", file.size),
        _ => return,
    };
    head.push("content-range", range.as_bytes());
}

async fn send_body<D: Downstream>(
    client: &D,
    head: Head,
    file: &File,
    start: u64,
    end: u64,
) -> Result<(), Fault> {
    let open = match &file.content {
        Content::Bytes(bytes) => {
            // Within the file, which is as long as its bytes.
            let part = usize::try_from(start).ok().zip(usize::try_from(end).ok());
            let part = part.and_then(|(start, end)| bytes.get(start..end));
            let part = part.unwrap_or_default();
            return client.begin(head, Framing::Length, part, true).await;
        }
        Content::Open(open) => open,
    };
    let files = &client.origin().worker.files;
    let mut piece = files.piece();
    let mut head = Some(head);
    let mut at = start;
    while at < end {
        // A file that became shorter cannot be sent as it was announced: the client sees that it is cut off.
        let Ok(count @ 1..) = read::piece(open, &mut piece, at, end - at).await else {
            return Err(Fault::UpstreamBroken("a file became shorter or unreadable"));
        };
        at += count as u64;
        let (bytes, last) = (&piece[..count], at == end);
        match head.take() {
            Some(head) => client.begin(head, Framing::Length, bytes, last).await?,
            None => client.data(bytes, last).await?,
        }
    }
    files.give_piece(piece);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pattern_that_ends_with_a_star_below_a_path_has_a_prefix() {
        for (pattern, wanted) in [
            ("a.test/app/*", Some("/app")),
            ("*.a.test/x/y/*", Some("/x/y")),
            ("a.test/*", None),
            ("a.test/app", None),
            ("a.test", None),
        ] {
            assert_eq!(prefix(pattern), wanted, "{pattern}");
        }
    }

    #[test]
    fn the_path_is_taken_off_the_request_line() {
        assert_eq!(path(b"GET /a/b.js?x=/y HTTP/1.1\r\nhost: a"), b"/a/b.js");
    }
}
