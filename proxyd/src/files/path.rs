//! Where below `public/` a request's path points. Pure.

use std::borrow::Cow;

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub enum Located<'p> {
    /// It climbs, or hides what it is: refused with 400.
    Traversal,
    /// Nothing of ours: the app may know.
    Nowhere,
    /// Relative to `public/`, decoded; empty for the root.
    File(Cow<'p, [u8]>),
}

/// Escapes within escapes that are looked through; nobody decodes more often.
const LEVELS: usize = 4;

/// Reads a path as it stands in a request, with its leading slash and without query.
///
/// Names that begin with a dot are never served, `.well-known` apart: what ends up in a public folder by accident
/// (`.env`, `.git`) is what its owner would least like to see served.
#[must_use]
pub fn locate(path: &[u8]) -> Located<'_> {
    let decoded = decode(path);
    if climbs_at_any_level(path, decoded.as_deref()) {
        return Located::Traversal;
    }
    let decoded = decoded.map_or(Cow::Borrowed(path), Cow::Owned);
    if decoded.contains(&0) {
        return Located::Traversal;
    }
    let is_hidden = |name: &[u8]| name.starts_with(b".") && name != b".well-known";
    if decoded.contains(&b'\\') || decoded.split(|byte| *byte == b'/').any(is_hidden) {
        return Located::Nowhere;
    }
    Located::File(match decoded {
        Cow::Borrowed(path) => Cow::Borrowed(without_slashes(path)),
        Cow::Owned(path) => Cow::Owned(without_slashes(&path).to_vec()),
    })
}

fn without_slashes(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|byte| *byte != b'/');
    &path[start.unwrap_or(path.len())..]
}

fn climbs_at_any_level(path: &[u8], decoded: Option<&[u8]>) -> bool {
    if climbs(path) || decoded.is_some_and(climbs) {
        return true;
    }
    let mut level = decoded.and_then(decode);
    for _ in 2..LEVELS {
        let Some(path) = level else { return false };
        if climbs(&path) {
            return true;
        }
        level = decode(&path);
    }
    false
}

fn climbs(path: &[u8]) -> bool {
    let is_separator = |byte: &u8| matches!(byte, b'/' | b'\\');
    path.split(is_separator).any(|name| name == b"..")
}

/// Resolves escapes; none when there are none. What is not an escape stays as it is.
fn decode(path: &[u8]) -> Option<Vec<u8>> {
    if !path.contains(&b'%') {
        return None;
    }
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, behind)) = rest.split_first() {
        if first == b'%'
            && let [high, low, behind @ ..] = behind
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            out.push(high << 4 | low);
            rest = behind;
        } else {
            out.push(first);
            rest = behind;
        }
    }
    (out.len() < path.len()).then_some(out)
}

fn digit(byte: u8) -> Option<u8> {
    // At most 15.
    #[expect(clippy::cast_possible_truncation)]
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(path: &str) -> Option<String> {
        match locate(path.as_bytes()) {
            Located::File(path) => Some(String::from_utf8(path.into_owned()).unwrap()),
            _ => None,
        }
    }

    #[test]
    fn a_path_names_a_file_below_the_folder() {
        for (path, wanted) in [
            ("/", ""),
            ("/a.js", "a.js"),
            ("/a/b%20c.js", "a/b c.js"),
            ("//a.js", "a.js"),
            ("/a//b.js", "a//b.js"),
            ("/docs/", "docs/"),
            ("/a..b/c..", "a..b/c.."),
            ("/100%.html", "100%.html"),
            ("/%zz.html", "%zz.html"),
            ("/%2525", "%25"),
            ("/%C3%A9.png", "é.png"),
            ("/.well-known/security.txt", ".well-known/security.txt"),
        ] {
            assert_eq!(file(path).as_deref(), Some(wanted), "{path}");
        }
    }

    #[test]
    fn climbing_is_refused_however_it_is_written() {
        for path in [
            "/../x",
            "/a/../b.js",
            "/a/..",
            "/%2e%2e/x",
            "/.%2E/x",
            "/..%2fx",
            "/a/..%5cx",
            "/..\\x",
            "/a\\..\\x",
            "/%252e%252e%252fx",
            "/%25252e%25252e/x",
            "/..%252fx",
            "/..%255cx",
            "/a%00.js",
        ] {
            assert_eq!(locate(path.as_bytes()), Located::Traversal, "{path}");
        }
    }

    #[test]
    fn hidden_names_and_backslashes_are_not_ours_to_serve() {
        for path in ["/.env", "/a/.git/config", "/%2eenv", "/./a.js", "/a%5cb.js"] {
            assert_eq!(locate(path.as_bytes()), Located::Nowhere, "{path}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_located_leaves_the_folder(path in "/([a.%25eEfFcC0/\\\\]|%2e|%2f|%5c|%25){0,16}") {
            if let Located::File(found) = locate(path.as_bytes()) {
                prop_assert!(!found.starts_with(b"/"));
                prop_assert!(!found.contains(&0));
                prop_assert!(!found.split(|byte| *byte == b'/').any(|name| name == b".."));
            }
        }

        #[test]
        fn no_bytes_break_it(path in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = locate(&path);
        }
    }
}
