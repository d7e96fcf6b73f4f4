//! An instance's response head: the same however it is cut, and never framed otherwise than its headers say.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tako_proxyd::http1::response::{self, Delimiter};
use tako_proxyd::http1::{Parsed, header_room};

fn look(bytes: &[u8], to_head: bool) -> Result<Option<(usize, u16, Delimiter, bool)>, ()> {
    match response::parse(bytes, to_head, &mut header_room()) {
        Ok(Parsed::Partial) => Ok(None),
        Ok(Parsed::Complete(seen, size)) => {
            assert!(
                seen.reason
                    .bytes()
                    .all(|byte| byte >= b' ' || byte == b'\t')
            );
            for header in seen.headers {
                assert!(
                    !header
                        .value
                        .iter()
                        .any(|byte| matches!(byte, b'\r' | b'\n' | 0))
                );
            }
            Ok(Some((size, seen.status, seen.body, seen.keep_alive)))
        }
        Err(_) => Err(()),
    }
}

// The first two bytes say where to cut the others, and whether the request was a HEAD.
fuzz_target!(|input: &[u8]| {
    let Some((cut, bytes)) = input.split_first_chunk() else {
        return;
    };
    let cut = u16::from_be_bytes(*cut);
    let (cut, to_head) = (cut >> 1, cut & 1 == 1);
    let whole = look(bytes, to_head);
    let part = look(&bytes[..usize::from(cut).min(bytes.len())], to_head);
    assert!(part == Ok(None) || part == whole, "{part:?} of {whole:?}");
    let Ok(Some((size, status, body, keep_alive))) = whole else {
        return;
    };
    assert_eq!(look(&bytes[..size], to_head), whole);
    let has_none = to_head || status < 200 || status == 204 || status == 304;
    assert_eq!(has_none, body == Delimiter::None);
    assert!(!(keep_alive && body == Delimiter::UntilClose));
});
