//! A request's head and body: read the same however it is cut, and sent on as one request of the same framing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tako_proxyd::forward::write_head;
use tako_proxyd::http1::chunked::{self, Decoder, Step};
use tako_proxyd::http1::{Body, Parsed, header_room, request};
use tako_proxyd_fuzz::read;

const IP: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// What a head comes to, without what borrows from it.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Partial,
    Refused,
    Whole(usize, String, Body),
}

fn look(bytes: &[u8]) -> Seen {
    match request::parse(bytes, &mut header_room()) {
        Ok(Parsed::Partial) => Seen::Partial,
        Ok(Parsed::Complete(request, size)) => Seen::Whole(
            size,
            format!("{} {}", request.method, request.target),
            request.body,
        ),
        Err(_) => Seen::Refused,
    }
}

// The first two bytes say where to cut the others.
fuzz_target!(|input: &[u8]| {
    let Some((cut, bytes)) = input.split_first_chunk() else {
        return;
    };
    let cut = u16::from_be_bytes(*cut);
    let whole = look(bytes);
    // A part may not be enough; it must never be something else.
    let part = look(&bytes[..usize::from(cut).min(bytes.len())]);
    assert!(
        part == Seen::Partial || part == whole,
        "{part:?} of {whole:?}"
    );
    let Seen::Whole(size, ..) = whole else { return };
    assert_eq!(look(&bytes[..size]), whole);
    send_on(bytes, size);
});

fn send_on(bytes: &[u8], size: usize) {
    let mut room = header_room();
    let Ok(Parsed::Complete(request, _)) = request::parse(bytes, &mut room) else {
        return;
    };
    let mut sent = Vec::new();
    let id = write_head(&request, "an-id", IP, None, &mut sent);
    assert!(!sent[id].is_empty());
    let head_size = sent.len();
    let Some(body) = send_body(request.body, &bytes[size..], &mut sent) else {
        return;
    };
    sent.extend_from_slice(b"GET /next HTTP/1.1\r\n\r\n");
    let strict = read(&sent).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&sent[..head_size]));
    });
    assert_eq!(
        strict.size,
        sent.len() - b"GET /next HTTP/1.1\r\n\r\n".len()
    );
    assert_eq!(strict.body, body);
    assert_eq!(strict.hosts, 1);
    assert_eq!(strict.method, request.method.as_bytes());
    assert_eq!(strict.target, request.target.as_bytes());
}

/// Sends a body on as the proxy does; gives its data, or none when there is not all of it.
fn send_body(body: Body, mut bytes: &[u8], sent: &mut Vec<u8>) -> Option<Vec<u8>> {
    match body {
        Body::None => Some(Vec::new()),
        Body::Length(length) => {
            let data = bytes.get(..usize::try_from(length).ok()?)?;
            sent.extend_from_slice(data);
            Some(data.to_vec())
        }
        Body::Chunked => {
            let (mut decoder, mut data) = (Decoder::default(), Vec::new());
            while !bytes.is_empty() {
                match decoder.step(bytes).ok()? {
                    Step::Skip(size) => bytes = &bytes[size..],
                    Step::Data(skipped, size) => {
                        let piece = &bytes[skipped..skipped + size];
                        chunked::write_chunk(sent, piece);
                        data.extend_from_slice(piece);
                        bytes = &bytes[skipped + size..];
                    }
                    Step::End(_) => {
                        chunked::write_end(sent, decoder.trailers());
                        return Some(data);
                    }
                }
            }
            None
        }
    }
}
