//! The words of a record.

/// Which part of the proxy a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handler {
    /// An instance of the app.
    Proxy,
    /// A file of the app's.
    Static,
    /// tako-server's images.
    Image,
    /// tako-server's channels.
    Channel,
    Redirect,
    Acme,
    /// Answers of ours to what none of the others is for.
    Tako,
}

impl Handler {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Static => "static",
            Self::Image => "image",
            Self::Channel => "channel",
            Self::Redirect => "redirect",
            Self::Acme => "acme",
            Self::Tako => "tako",
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The whole response was sent, whatever its status.
    Ok,
    NotModified,
    NotFound,
    Forbidden,
    RateLimited,
    /// The client's body was malformed.
    BadRequest,
    TooLarge,
    /// The client stopped sending its body.
    ClientTimeout,
    /// The client went away, or took nothing for too long.
    ClientGone,
    ColdStartFailed,
    ColdStartTimeout,
    QueueFull,
    /// The app took no more requests for too long.
    QueueTimeout,
    /// The app has no instances, and none is being started.
    Unavailable,
    /// The instance refused, closed too early, or sent what is not HTTP.
    UpstreamError,
    UpstreamTimeout,
    Error,
    /// The proxy ended first.
    Aborted,
}

impl Outcome {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotModified => "not_modified",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rate_limited",
            Self::BadRequest => "bad_request",
            Self::TooLarge => "too_large",
            Self::ClientTimeout => "client_timeout",
            Self::ClientGone => "client_gone",
            Self::ColdStartFailed => "cold_start_failed",
            Self::ColdStartTimeout => "cold_start_timeout",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::Unavailable => "unavailable",
            Self::UpstreamError => "upstream_error",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::Error => "error",
            Self::Aborted => "aborted",
        }
    }
}
