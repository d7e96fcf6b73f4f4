//! The chunked coding: finding the data in it, and writing it anew.
//!
//! Extensions are dropped, line ends must be CRLF, sizes are plain hexadecimal: nothing of the sender's framing gets to
//! the next parser.

/// A chunk's size line, or a line of the trailers, may be so long.
const MAX_LINE: usize = 4096;
const MAX_TRAILERS: usize = 8192;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first digit of a size.
    SizeStart,
    Size,
    /// Spaces after a size, which a sender may leave before an extension or the end of the line.
    SizeSpace,
    Extension,
    SizeNewline,
    Data,
    DataReturn,
    DataNewline,
    Trailers,
    End,
}

/// What comes next in the coded bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// So many bytes were framing only; ask again when there are more.
    Skip(usize),
    /// So many bytes of framing, then so many of data.
    Data(usize, usize),
    /// So many bytes, and the body is complete; trailers are in [`Decoder::trailers`].
    End(usize),
}

/// Where in a chunked body the reader is.
#[derive(Debug)]
pub struct Decoder {
    place: Place,
    left: u64,
    line: usize,
    trailers: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            place: Place::SizeStart,
            left: 0,
            line: 0,
            trailers: Vec::new(),
        }
    }
}

impl Decoder {
    /// The trailer lines, each with its CRLF, without the empty line.
    #[must_use]
    pub fn trailers(&self) -> &[u8] {
        let whole = self.trailers.len();
        if self.place == Place::End && whole >= 2 {
            &self.trailers[..whole - 2]
        } else {
            &[]
        }
    }

    /// Looks at the next bytes; all that the step names are consumed.
    pub fn step(&mut self, bytes: &[u8]) -> Result<Step, Malformed> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.place {
                Place::Data => {
                    let here = usize::try_from(self.left)
                        .unwrap_or(usize::MAX)
                        .min(bytes.len() - at);
                    self.left -= here as u64;
                    if self.left == 0 {
                        self.place = Place::DataReturn;
                    }
                    return Ok(Step::Data(at, here));
                }
                Place::Trailers => {
                    at += 1;
                    if self.take_trailer(byte)? {
                        return Ok(Step::End(at));
                    }
                }
                Place::End => return Ok(Step::End(at)),
                _ => {
                    at += 1;
                    self.take_framing(byte)?;
                }
            }
        }
        Ok(Step::Skip(at))
    }

    fn take_framing(&mut self, byte: u8) -> Result<(), Malformed> {
        self.line += 1;
        if self.line > MAX_LINE {
            return Err(Malformed);
        }
        self.place = match (self.place, byte) {
            (Place::SizeStart | Place::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                if self.left >> 56 != 0 {
                    return Err(Malformed);
                }
                self.left = self.left << 4 | digit;
                Place::Size
            }
            (Place::Size | Place::SizeSpace | Place::Extension, b'\r') => Place::SizeNewline,
            (Place::Size | Place::SizeSpace, b' ' | b'\t') => Place::SizeSpace,
            (Place::Size | Place::SizeSpace, b';')
            | (Place::Extension, b'\t' | b' '..=b'~' | 0x80..) => Place::Extension,
            (Place::SizeNewline, b'\n') if self.left == 0 => Place::Trailers,
            (Place::SizeNewline, b'\n') => Place::Data,
            (Place::DataReturn, b'\r') => Place::DataNewline,
            (Place::DataNewline, b'\n') => Place::SizeStart,
            _ => return Err(Malformed),
        };
        if self.place == Place::SizeStart {
            self.line = 0;
        }
        Ok(())
    }

    /// Adds a byte of the trailers; true when it was the last.
    fn take_trailer(&mut self, byte: u8) -> Result<bool, Malformed> {
        self.trailers.push(byte);
        if self.trailers.len() > MAX_TRAILERS {
            return Err(Malformed);
        }
        let ended = self.trailers == b"\r\n" || self.trailers.ends_with(b"\r\n\r\n");
        if ended {
            check_trailers(&self.trailers)?;
            self.place = Place::End;
        }
        Ok(ended)
    }
}

/// Trailers are held to the same grammar as headers, and may not change framing or routing after the fact.
pub fn check_trailers(lines: &[u8]) -> Result<(), Malformed> {
    use super::fields::{Field, classify};

    let mut room: [httparse::Header; 32] = [httparse::EMPTY_HEADER; 32];
    let Ok(httparse::Status::Complete((size, headers))) = httparse::parse_headers(lines, &mut room)
    else {
        return Err(Malformed);
    };
    let bare = lines
        .windows(2)
        .any(|pair| pair[1] == b'\n' && pair[0] != b'\r');
    let forbidden = headers
        .iter()
        .any(|header| !matches!(classify(header.name), Field::Other | Field::Date));
    if size != lines.len() || bare || forbidden {
        return Err(Malformed);
    }
    Ok(())
}

/// Writes one chunk; empty data writes nothing, because an empty chunk would end the body.
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    write_size(out, data.len());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Writes a chunk's size line.
pub fn write_size(out: &mut Vec<u8>, size: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut shift = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1) * 4;
    while shift > 0 {
        shift -= 4;
        out.push(DIGITS[size >> shift & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Ends a chunked body.
pub fn write_end(out: &mut Vec<u8>, trailers: &[u8]) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Decoded = (Vec<u8>, Vec<u8>, usize);

    /// Feeds the bytes in pieces of the given size; gives data, trailers, and how much was consumed.
    fn decode(bytes: &[u8], piece: usize) -> Result<Option<Decoded>, Malformed> {
        let (mut decoder, mut data, mut at) = (Decoder::default(), Vec::new(), 0);
        while at < bytes.len() {
            let end = (at + piece).min(bytes.len());
            match decoder.step(&bytes[at..end])? {
                Step::Skip(size) => at += size,
                Step::Data(skipped, size) => {
                    data.extend_from_slice(&bytes[at + skipped..at + skipped + size]);
                    at += skipped + size;
                }
                Step::End(size) => {
                    return Ok(Some((data, decoder.trailers().to_vec(), at + size)));
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn what_is_well_formed_is_decoded() {
        for (case, coded, data, trailers) in [
            ("one chunk", "3\r\nabc\r\n0\r\n\r\n", "abc", ""),
            (
                "two chunks",
                "1\r\na\r\nA\r\n0123456789\r\n0\r\n\r\n",
                "a0123456789",
                "",
            ),
            ("nothing", "0\r\n\r\n", "", ""),
            ("leading zeros", "0003\r\nabc\r\n000\r\n\r\n", "abc", ""),
            (
                "extension",
                "3;a=b;c=\"d\"\r\nabc\r\n0;x\r\n\r\n",
                "abc",
                "",
            ),
            (
                "trailers",
                "1\r\na\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n",
                "a",
                "X-Sum: 1\r\nY: 2\r\n",
            ),
        ] {
            for piece in 1..40 {
                let rest = format!("{coded}GET / HTTP/1.1\r\n");
                let seen = decode(rest.as_bytes(), piece).unwrap().unwrap();
                let wanted = (data.into(), trailers.into(), coded.len());
                assert_eq!(seen, wanted, "{case} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for (case, coded) in [
            ("no size", "\r\nabc"),
            ("a sign", "+3\r\nabc\r\n"),
            ("a word after the size", "3 a\r\nabc\r\n"),
            ("two sizes", "3 3\r\nabc\r\n"),
            ("a prefix", "0x3\r\nabc\r\n"),
            ("a space before", " 3\r\nabc\r\n"),
            ("a bare newline after the size", "3\nabc\r\n"),
            ("a bare return in an extension", "3;a\rb\r\nabc\r\n"),
            ("a bare newline after the data", "3\r\nabc\n0\r\n\r\n"),
            ("data longer than its size", "3\r\nabcd\r\n"),
            ("a size that overflows", "fffffffffffffffff\r\n"),
            ("a newline in an extension", "3;a\nb\r\n"),
            ("a length in the trailers", "0\r\nContent-Length: 5\r\n\r\n"),
            ("a folded trailer", "0\r\nX: a\r\n b\r\n\r\n"),
            ("a bare newline in the trailers", "0\r\nX: a\nY: b\r\n\r\n"),
        ] {
            assert_eq!(decode(coded.as_bytes(), 7), Err(Malformed), "{case}");
        }
        let endless = format!("3;{}", "x".repeat(10_000));
        assert_eq!(decode(endless.as_bytes(), 100), Err(Malformed));
        let flood = format!("0\r\n{}", "X: y\r\n".repeat(10_000));
        assert_eq!(decode(flood.as_bytes(), 100), Err(Malformed));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..6),
            piece in 1usize..200,
        ) {
            let mut coded = Vec::new();
            for chunk in &chunks {
                write_chunk(&mut coded, chunk);
            }
            write_end(&mut coded, b"X: y\r\n");
            let (data, trailers, used) = decode(&coded, piece).unwrap().unwrap();
            prop_assert_eq!(data, chunks.concat());
            prop_assert_eq!(trailers, b"X: y\r\n");
            prop_assert_eq!(used, coded.len());
        }

        #[test]
        fn no_bytes_break_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1usize..50) {
            let _ = decode(&bytes, piece);
        }
    }
}
