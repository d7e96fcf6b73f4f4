//! A second opinion: HTTP/1.1 read as strictly as RFC 9112 allows, and nothing of it taken from the proxy or its parser.
//!
//! What the proxy sends to an instance has to be one message to this reader too, of the same length and with the same
//! body. It is slow and refuses much that is allowed; the proxy may be more lenient with what it is sent, never with
//! what it sends.

/// A whole request as this reader sees it.
#[derive(Debug, PartialEq, Eq)]
pub struct Strict {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub hosts: usize,
    pub body: Vec<u8>,
    /// What it took; anything after that would be another request.
    pub size: usize,
}

/// Reads one request, or says what is wrong with it.
pub fn read(bytes: &[u8]) -> Result<Strict, String> {
    let head_size = find(bytes, b"\r\n\r\n").ok_or("no end of the head")? + 4;
    let mut lines = split(&bytes[..head_size - 4]).into_iter();
    let line = lines.next().ok_or("no request line")?;
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else {
        return Err(format!("a request line of {} words", words.len()));
    };
    if version != b"HTTP/1.1" || !is_token(method) {
        return Err("request line".to_owned());
    }
    let visible = |byte: &u8| (0x21..0x7f).contains(byte);
    let is_origin = target.first() == Some(&b'/') || target == b"*";
    if !is_origin || !target.iter().all(visible) {
        return Err("target".to_owned());
    }
    let (mut hosts, mut length, mut chunked) = (0, None, false);
    for line in lines {
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .ok_or("no colon")?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if !is_token(name) {
            return Err(format!("name {name:?}"));
        }
        if value
            .iter()
            .any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f)
        {
            return Err(format!("value {value:?}"));
        }
        match &*name.to_ascii_lowercase() {
            b"host" => hosts += 1,
            b"content-length" if length.is_some() || chunked => {
                return Err("framed twice".to_owned());
            }
            b"content-length" => length = Some(number(value, 10).ok_or("length")?),
            b"transfer-encoding" if length.is_some() || chunked || value != b"chunked" => {
                return Err("coding".to_owned());
            }
            b"transfer-encoding" => chunked = true,
            // To an application that puts headers into environment variables it would be the same name.
            b"content_length" | b"transfer_encoding" | b"x_forwarded_for" => {
                return Err("a name that passes for another".to_owned());
            }
            _ => {}
        }
    }
    let rest = &bytes[head_size..];
    let (body, body_size) = match (length, chunked) {
        (Some(length), _) => (rest.get(..length).ok_or("short body")?.to_vec(), length),
        (None, true) => read_chunks(rest)?,
        (None, false) => (Vec::new(), 0),
    };
    Ok(Strict {
        method: method.to_vec(),
        target: target.to_vec(),
        hosts,
        body,
        size: head_size + body_size,
    })
}

/// Data of a chunked body, and the size of all of it.
pub fn read_chunks(bytes: &[u8]) -> Result<(Vec<u8>, usize), String> {
    let (mut data, mut at) = (Vec::new(), 0);
    loop {
        let end = at + find(&bytes[at..], b"\r\n").ok_or("no end of a size")?;
        let size = number(&bytes[at..end], 16).ok_or("size")?;
        at = end + 2;
        if size == 0 {
            break;
        }
        data.extend_from_slice(bytes.get(at..at + size).ok_or("short chunk")?);
        at += size;
        if bytes.get(at..at + 2) != Some(b"\r\n") {
            return Err("a chunk that does not end".to_owned());
        }
        at += 2;
    }
    loop {
        let end = at + find(&bytes[at..], b"\r\n").ok_or("no end of the trailers")?;
        let line = &bytes[at..end];
        at = end + 2;
        if line.is_empty() {
            return Ok((data, at));
        }
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .ok_or("trailer")?;
        if !is_token(&line[..colon]) || line.iter().any(|byte| *byte < b' ' && *byte != b'\t') {
            return Err(format!("trailer {line:?}"));
        }
    }
}

fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut lines, mut rest) = (Vec::new(), bytes);
    while let Some(at) = find(rest, b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    lines
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|found| found == wanted)
}

fn number(digits: &[u8], radix: u32) -> Option<usize> {
    let plain = !digits.is_empty() && digits.iter().all(|digit| (*digit as char).is_digit(radix));
    let text = std::str::from_utf8(digits).ok().filter(|_| plain)?;
    usize::from_str_radix(text, radix).ok()
}

fn is_token(name: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty() && name.iter().all(fits)
}
