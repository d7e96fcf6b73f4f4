//! tako-server's own endpoints that the public reaches, below `/_tako/`.

use std::path::Path;
use std::sync::Arc;

use super::endpoints::{Address, EndpointState};
use crate::control::messages;

/// Paths that are forwarded to tako-server instead of the app.
pub struct Services {
    pub endpoint: Arc<EndpointState>,
    paths: Box<[Pattern]>,
}

enum Pattern {
    Exact(Box<str>),
    /// With the slash it ends with.
    Below(Box<str>),
}

impl Services {
    /// `before` lends the endpoint, whose connections stay when only the paths change.
    pub fn compile(
        wanted: &messages::Services,
        before: Option<&Self>,
        lanes: usize,
    ) -> Result<Self, String> {
        let patterns = wanted.paths.iter().map(|path| {
            let pattern = match path.strip_suffix('*') {
                Some(below) if below.ends_with('/') => Pattern::Below(below.into()),
                _ => Pattern::Exact(path.as_str().into()),
            };
            let is_ours = path.starts_with("/_tako/");
            is_ours.then_some(pattern).ok_or(path)
        });
        let paths = patterns
            .collect::<Result<_, _>>()
            .map_err(|path| format!("the service {path:?} is not below /_tako/"))?;
        let address = Address::Unix(Path::new(&wanted.socket).into());
        let known = before.filter(|before| before.endpoint.addr == address);
        let endpoint = known.map_or_else(
            || EndpointState::new("tako-server".into(), "services", address, lanes),
            |before| before.endpoint.clone(),
        );
        Ok(Self { endpoint, paths })
    }

    /// Whether the path, without its query, is one of tako-server's.
    #[must_use]
    pub fn serves(&self, path: &str) -> bool {
        self.paths.iter().any(|pattern| match pattern {
            Pattern::Exact(exact) => path == &**exact,
            Pattern::Below(below) => path.starts_with(&**below),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(paths: &[&str]) -> Result<Services, String> {
        let wanted = messages::Services {
            socket: "/run/services.sock".to_owned(),
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
        };
        Services::compile(&wanted, None, 1)
    }

    #[test]
    fn a_path_is_served_alone_or_with_all_below_it() {
        let services = services(&["/_tako/image", "/_tako/channels/*"]).unwrap();
        for (path, served) in [
            ("/_tako/image", true),
            ("/_tako/image/", false),
            ("/_tako/images", false),
            ("/_tako/channels/", true),
            ("/_tako/channels/a/b", true),
            ("/_tako/channels", false),
            ("/_tako/channelsx/a", false),
            ("/_tako/", false),
            ("/image", false),
        ] {
            assert_eq!(services.serves(path), served, "{path}");
        }
    }

    #[test]
    fn nothing_of_an_apps_is_taken_from_it() {
        assert!(services(&["/_tako/image", "/*"]).is_err());
    }
}
