//! A response's head, as HTTP/2 has it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::forward::downstream::{Head, split_lines};

/// None when a field cannot be said in HTTP/2.
pub fn head(head: &Head) -> Option<Response<()>> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status).ok()?;
    *response.headers_mut() = fields(head.field_lines())?;
    Some(response)
}

/// Lines as HTTP/1.1 has them, of a head or of trailers.
pub fn fields(lines: &[u8]) -> Option<HeaderMap> {
    // One piece of memory for all values.
    let lines = Bytes::copy_from_slice(lines);
    let mut fields = HeaderMap::with_capacity(12);
    for (name, value) in split_lines(&lines) {
        let name = HeaderName::from_bytes(name).ok()?;
        let mut value = HeaderValue::from_maybe_shared(lines.slice_ref(value)).ok()?;
        if name == "x-request-id" {
            // Never the same again: it would only drive useful fields out of the compression's table.
            value.set_sensitive(true);
        }
        fields.append(name, value);
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_lower_case_and_repeated_fields_stay() {
        let mut text = Head::new(Vec::new(), 404, "Not: Found");
        text.push("Content-Type", b"text/plain");
        text.push("Set-Cookie", b"a=b");
        text.push("set-cookie", b"c=\xe9");
        let response = head(&text).unwrap();
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()["content-type"], "text/plain");
        let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
        assert_eq!(cookies.len(), 2);
        assert_eq!(cookies[1].as_bytes(), b"c=\xe9");
        assert_eq!(response.headers().len(), 3);
    }
}
