//! Which route a host and path belong to. A look-up costs the same with ten routes and with ten thousand.
//!
//! Host exact beats `*.` wildcard, longer beats shorter, an exact path beats a prefix. A wildcard stands for one or
//! more labels: `*.example.com` matches `a.example.com` and `a.b.example.com`, not `example.com`.

use std::borrow::Cow;
use std::collections::HashMap;

pub struct Router<T> {
    exact: HashMap<Box<str>, Paths<T>>,
    /// By what follows the `*.`.
    wildcard: HashMap<Box<str>, Paths<T>>,
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
        }
    }
}

struct Paths<T> {
    /// Without trailing slash; the root is the empty string.
    exact: HashMap<Box<str>, T>,
    /// `/api/*` is kept as `/api`.
    prefix: HashMap<Box<str>, T>,
    all: Option<T>,
}

impl<T> Router<T> {
    /// Adds a route; the error says what cannot be routed by.
    pub fn add(&mut self, host: &str, path: Option<&str>, target: T) -> Result<(), String> {
        let host = host.to_ascii_lowercase();
        let (hosts, name) = match host.strip_prefix("*.") {
            Some(suffix) => (&mut self.wildcard, suffix),
            None => (&mut self.exact, host.as_str()),
        };
        if name.is_empty() || name.contains(['*', '/']) {
            return Err(format!("{host:?} is not a host or *.host"));
        }
        let paths = hosts.entry(name.into()).or_insert_with(|| Paths {
            exact: HashMap::new(),
            prefix: HashMap::new(),
            all: None,
        });
        paths.add(path, target)
    }

    /// `host` as from [`normal_host`], `path` without query.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<&T> {
        if let Some(target) = self.exact.get(host).and_then(|paths| paths.find(path)) {
            return Some(target);
        }
        if self.wildcard.is_empty() {
            return None;
        }
        let mut rest = host;
        while let Some((_, suffix)) = rest.split_once('.') {
            if let Some(target) = self.wildcard.get(suffix).and_then(|paths| paths.find(path)) {
                return Some(target);
            }
            rest = suffix;
        }
        None
    }
}

impl<T> Paths<T> {
    fn add(&mut self, path: Option<&str>, target: T) -> Result<(), String> {
        match path {
            None | Some("/*" | "*") => self.all = Some(target),
            Some(path) if !path.starts_with('/') => {
                return Err(format!("path {path:?} does not begin with a slash"));
            }
            Some(path) => match path.strip_suffix("/*") {
                Some(prefix) => {
                    self.prefix.insert(without_slash(prefix).into(), target);
                }
                None => {
                    self.exact.insert(without_slash(path).into(), target);
                }
            },
        }
        Ok(())
    }

    fn find(&self, path: &str) -> Option<&T> {
        if !self.exact.is_empty()
            && let Some(target) = self.exact.get(without_slash(path))
        {
            return Some(target);
        }
        if !self.prefix.is_empty() {
            let mut rest = without_slash(path);
            while !rest.is_empty() {
                if let Some(target) = self.prefix.get(rest) {
                    return Some(target);
                }
                rest = rest.rfind('/').map_or("", |slash| &rest[..slash]);
            }
        }
        self.all.as_ref()
    }
}

fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// The host of a Host header: lower case, without port and trailing dot; none when it is not a host at all.
#[must_use]
pub fn normal_host(header: &str) -> Option<Cow<'_, str>> {
    let (host, port) = match header.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (header, ""),
    };
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let fits = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => true,
        b':' | b'[' | b']' => bracketed,
        _ => false,
    };
    let has_empty_label = host.starts_with('.') || host.contains("..");
    if host.is_empty() || has_empty_label || !host.bytes().all(fits) {
        return None;
    }
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(Cow::Owned(host.to_ascii_lowercase()));
    }
    Some(Cow::Borrowed(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn router(patterns: &[&str]) -> Router<String> {
        let mut router = Router::default();
        for pattern in patterns {
            let (host, path) = split(pattern);
            router.add(host, path, (*pattern).to_owned()).unwrap();
        }
        router
    }

    fn split(pattern: &str) -> (&str, Option<&str>) {
        match pattern.find('/') {
            Some(slash) => (&pattern[..slash], Some(&pattern[slash..])),
            None => (pattern, None),
        }
    }

    #[test]
    fn the_most_specific_route_wins() {
        let router = router(&[
            "a.test",
            "a.test/api",
            "a.test/api/*",
            "a.test/api/v1/*",
            "*.b.test",
            "*.b.test/admin/*",
            "x.b.test/only",
            "*.deep.b.test",
        ]);
        for (host, path, expected) in [
            ("a.test", "/", "a.test"),
            ("a.test", "/api", "a.test/api"),
            ("a.test", "/api/", "a.test/api"),
            ("a.test", "/api/x", "a.test/api/*"),
            ("a.test", "/api/v1", "a.test/api/v1/*"),
            ("a.test", "/api/v1/x/y", "a.test/api/v1/*"),
            ("a.test", "/api/v10", "a.test/api/*"),
            ("a.test", "/apix", "a.test"),
            ("y.b.test", "/", "*.b.test"),
            ("y.z.b.test", "/", "*.b.test"),
            ("y.b.test", "/admin", "*.b.test/admin/*"),
            ("x.b.test", "/only/", "x.b.test/only"),
            ("x.b.test", "/other", "*.b.test"),
            ("q.deep.b.test", "/", "*.deep.b.test"),
            ("q.deep.b.test", "/admin/1", "*.deep.b.test"),
        ] {
            let found = router.find(host, path);
            assert_eq!(found.map(String::as_str), Some(expected), "{host}{path}");
        }
        for (host, path) in [("b.test", "/"), ("c.test", "/"), ("", "/")] {
            assert_eq!(router.find(host, path), None, "{host}{path}");
        }
    }

    #[test]
    fn a_host_header_is_brought_to_its_normal_form() {
        for (header, host) in [
            ("A.Test", Some("a.test")),
            ("a.test:8443", Some("a.test")),
            ("a.test.", Some("a.test")),
            ("[::1]:80", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("", None),
            (":80", None),
            ("a b", None),
            ("a.test:x", None),
            ("user@a.test", None),
            ("a/b", None),
            ("::1", None),
            (".a.test", None),
        ] {
            assert_eq!(normal_host(header).as_deref(), host, "{header:?}");
        }
    }

    fn in_repository() -> bool {
        std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests")).exists()
    }

    #[test]
    fn the_cases_shared_with_python_are_decided_the_same() {
        let file =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/routes.json");
        let Ok(text) = std::fs::read_to_string(&file) else {
            // Only where the crate is tested outside the repository, without the Python side.
            assert!(!in_repository(), "no {}", file.display());
            return;
        };
        let cases: serde_json::Value = serde_json::from_str(&text).unwrap();
        for case in cases.as_array().unwrap() {
            let patterns = case["patterns"].as_array().unwrap().iter();
            let patterns: Vec<&str> = patterns.map(|pattern| pattern.as_str().unwrap()).collect();
            let router = router(&patterns);
            for request in case["requests"].as_array().unwrap() {
                let host = normal_host(request["host"].as_str().unwrap());
                let path = request["path"].as_str().unwrap();
                let path = path.split('?').next().unwrap();
                let found = host.and_then(|host| router.find(&host, path).cloned());
                let wins = request["wins"].as_str().map(same_claim);
                assert_eq!(found.as_deref().map(same_claim), wins, "{case}");
            }
        }
    }

    /// The rule as the specification words it: every matching route, ordered, the first one taken.
    fn by_the_book<'a>(patterns: &[&'a str], host: &str, path: &str) -> Option<&'a str> {
        let path = without_slash(path);
        let rank = |pattern: &&'a str| {
            let (wanted_host, wanted_path) = split(pattern);
            let host_rank = match wanted_host.strip_prefix("*.") {
                Some(suffix) if host.ends_with(&format!(".{suffix}")) => (false, suffix.len()),
                None if wanted_host == host => (true, wanted_host.len()),
                _ => return None,
            };
            let path_rank = match wanted_path {
                None | Some("/*") => (0, false),
                Some(wanted) => match wanted.strip_suffix("/*") {
                    Some(prefix) if path == prefix || path.starts_with(&format!("{prefix}/")) => {
                        (prefix.len() + 1, false)
                    }
                    None if without_slash(wanted) == path => (path.len() + 1, true),
                    _ => return None,
                },
            };
            Some((host_rank, path_rank))
        };
        let matching = patterns
            .iter()
            .filter_map(|pattern| Some((rank(pattern)?, *pattern)));
        matching
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, found)| found)
    }

    proptest! {
        #[test]
        fn look_up_agrees_with_the_rule_by_the_book(
            hosts in proptest::collection::vec("(\\*\\.)?([ab]\\.){0,2}t(/|/[ab]{1,2}){0,2}(/\\*)?", 0..12),
            host in "([ab]\\.){0,3}t",
            path in "(/[ab]{1,2}){0,3}/?",
        ) {
            let path = if path.is_empty() { "/" } else { &path };
            let mut patterns: Vec<&str> = hosts.iter().map(String::as_str).filter(|p| !p.contains("//")).collect();
            // Of two patterns that claim the same, which one wins is not defined: keep one.
            patterns.sort_by_key(|pattern| same_claim(pattern));
            patterns.dedup_by_key(|pattern| same_claim(pattern));
            let router = router(&patterns);
            prop_assert_eq!(router.find(&host, path).map(String::as_str), by_the_book(&patterns, &host, path));
        }

        #[test]
        fn no_header_breaks_the_host(header in "\\PC{0,40}") {
            let _ = normal_host(&header);
        }
    }

    fn same_claim(pattern: &str) -> String {
        let (host, path) = split(pattern);
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        match path {
            None | Some("/*") => format!("{host}/*"),
            Some(path) => format!("{host}{}", without_slash(path)),
        }
    }
}
