//! The chunked decoder: the same data, trailers and end whatever the pieces; what is written anew is read strictly.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tako_proxyd::http1::chunked::{Decoder, Malformed, Step, write_chunk, write_end};
use tako_proxyd_fuzz::read_chunks;

/// Data, trailers, and where the body ended.
type Decoded = Result<Option<(Vec<u8>, Vec<u8>, usize)>, Malformed>;

fn decode(bytes: &[u8], piece: usize) -> Decoded {
    let (mut decoder, mut data, mut at) = (Decoder::default(), Vec::new(), 0);
    while at < bytes.len() {
        let end = (at + piece).min(bytes.len());
        match decoder.step(&bytes[at..end])? {
            Step::Skip(size) => {
                assert!(size > 0, "no progress");
                at += size;
            }
            Step::Data(skipped, size) => {
                data.extend_from_slice(&bytes[at + skipped..at + skipped + size]);
                at += skipped + size;
            }
            Step::End(size) => return Ok(Some((data, decoder.trailers().to_vec(), at + size))),
        }
    }
    Ok(None)
}

// The first byte is the size of the pieces.
fuzz_target!(|input: &[u8]| {
    let Some((piece, bytes)) = input.split_first() else {
        return;
    };
    let whole = decode(bytes, usize::MAX / 2);
    assert_eq!(decode(bytes, usize::from(*piece).max(1)), whole);
    let Ok(Some((data, trailers, used))) = whole else {
        return;
    };
    assert!(used <= bytes.len());
    let mut written = Vec::new();
    write_chunk(&mut written, &data);
    write_end(&mut written, &trailers);
    assert_eq!(read_chunks(&written), Ok((data, written.len())));
});
