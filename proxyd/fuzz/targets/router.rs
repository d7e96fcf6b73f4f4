//! Hosts and paths: whatever is asked for, what is found is what its pattern says, and the most specific that does.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tako_proxyd::table::{Router, normal_host};

const PATTERNS: [(&str, Option<&str>); 8] = [
    ("a.test", None),
    ("a.test", Some("/x")),
    ("a.test", Some("/x/*")),
    ("a.test", Some("/x/y/*")),
    ("*.a.test", None),
    ("*.a.test", Some("/x/*")),
    ("b.a.test", Some("/only")),
    ("*.b.a.test", Some("/x/y")),
];

fn fits((host, path): (&str, Option<&str>), asked: &str, target: &str) -> bool {
    let is_host = match host.strip_prefix('*') {
        Some(suffix) => asked.len() > suffix.len() && asked.ends_with(suffix),
        None => asked == host,
    };
    let target = target.strip_suffix('/').unwrap_or(target);
    is_host
        && match path {
            None => true,
            Some(path) => match path.strip_suffix("/*") {
                Some(prefix) => {
                    target == prefix
                        || target
                            .strip_prefix(prefix)
                            .is_some_and(|rest| rest.starts_with('/'))
                }
                None => target == path,
            },
        }
}

fuzz_target!(|input: &str| {
    let (header, path) = input.split_once(' ').unwrap_or((input, ""));
    let Some(host) = normal_host(header) else {
        return;
    };
    assert!(
        !host
            .bytes()
            .any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_whitespace())
    );
    assert!(!host.is_empty() && !host.contains(['/', '@', '#', '?']));
    let mut router = Router::default();
    for (index, (host, path)) in PATTERNS.into_iter().enumerate() {
        router.add(host, path, index).expect("the pattern is valid");
    }
    let path = format!("/{path}");
    let found = router.find(&host, &path).copied();
    let all = (0..PATTERNS.len()).filter(|index| fits(PATTERNS[*index], &host, &path));
    // More of a host's labels, then more of the path, then an exact path.
    let rank = |index: &usize| {
        let (host, path) = PATTERNS[*index];
        let is_exact = !host.starts_with('*');
        (
            is_exact,
            host.len(),
            path.map_or((0, false), |path| {
                (path.trim_end_matches("/*").len(), !path.ends_with("/*"))
            }),
        )
    };
    assert_eq!(found, all.max_by_key(rank), "{host}{path}");
});
