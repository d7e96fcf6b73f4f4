//! Putting a body into a coding, piece by piece.

use std::io::{self, Write};

use brotli::enc::BrotliEncoderParams;
use brotli::enc::writer::CompressorWriter;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::accept::Algorithm;

/// What the specification asks for: nearly the size of the best at a tenth of its time.
const BROTLI_QUALITY: i32 = 5;
const BROTLI_WINDOW_BITS: i32 = 22;
const MIN_WINDOW_BITS: i32 = 16;
const GZIP_LEVEL: u32 = 6;

/// A body on its way into a coding; may go from thread to thread.
pub enum Encoder {
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

impl Encoder {
    /// Begins a body of `length` bytes.
    #[must_use]
    pub fn new(algorithm: Algorithm, length: u64) -> Self {
        match algorithm {
            Algorithm::Brotli => {
                let params = BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: window_bits(length),
                    size_hint: usize::try_from(length).unwrap_or(usize::MAX),
                    ..BrotliEncoderParams::default()
                };
                let writer = CompressorWriter::with_params(Vec::new(), 0, &params);
                Self::Brotli(Box::new(writer))
            }
            Algorithm::Gzip => {
                let writer = GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL));
                Self::Gzip(Box::new(writer))
            }
        }
    }

    /// Takes the next bytes; gives what of the coded body is ready.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let out = match self {
            Self::Brotli(writer) => {
                writer.write_all(bytes)?;
                writer.get_mut()
            }
            Self::Gzip(writer) => {
                writer.write_all(bytes)?;
                writer.get_mut()
            }
        };
        Ok(std::mem::take(out))
    }

    /// Gives the rest of the coded body.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Brotli(writer) => Ok(writer.into_inner()),
            Self::Gzip(writer) => writer.finish(),
        }
    }
}

/// A window larger than the body costs memory and finds nothing more.
fn window_bits(length: u64) -> i32 {
    let needed = u64::BITS - length.leading_zeros();
    i32::try_from(needed)
        .unwrap_or(BROTLI_WINDOW_BITS)
        .clamp(MIN_WINDOW_BITS, BROTLI_WINDOW_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    fn decoded(algorithm: Algorithm, coded: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match algorithm {
            Algorithm::Brotli => {
                brotli::Decompressor::new(coded, 4096)
                    .read_to_end(&mut plain)
                    .unwrap();
            }
            Algorithm::Gzip => {
                flate2::read::GzDecoder::new(coded)
                    .read_to_end(&mut plain)
                    .unwrap();
            }
        }
        plain
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_to_the_same_however_it_is_cut(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 0..6),
            brotli in any::<bool>(),
        ) {
            let algorithm = if brotli { Algorithm::Brotli } else { Algorithm::Gzip };
            let whole = pieces.concat();
            let mut encoder = Encoder::new(algorithm, whole.len() as u64);
            let mut coded = Vec::new();
            for piece in &pieces {
                coded.extend(encoder.push(piece).unwrap());
            }
            coded.extend(encoder.finish().unwrap());
            prop_assert_eq!(decoded(algorithm, &coded), whole);
        }
    }

    #[test]
    fn the_window_is_no_larger_than_the_body() {
        for (length, bits) in [(0, 16), (1 << 17, 18), (1 << 30, 22)] {
            assert_eq!(window_bits(length), bits, "{length}");
        }
    }
}
