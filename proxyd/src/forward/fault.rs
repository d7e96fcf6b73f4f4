//! Everything that can go wrong with a request once it is being forwarded, by whose doing.

use crate::http1::chunked;
use crate::http1::response::Unusable;
use crate::record::Outcome;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The client closed, or does not take what is sent to it: nobody is there to be answered.
    ClientGone,
    /// The client stopped sending its body.
    ClientSlow,
    /// The client's body cannot be believed.
    BodyMalformed,
    BodyTooLarge,
    /// The connection to the instance was closed before a byte of the request was taken: it can be sent again, whatever
    /// it is.
    Unsent,
    /// The instance closed before the first byte of a response; a request may be sent again if nothing was lost.
    UpstreamSilent,
    /// The instance closed in the middle, or sent what is not HTTP.
    UpstreamBroken(&'static str),
    UpstreamSlow,
    NoInstance(NoInstance),
}

/// Why no instance could be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoInstance {
    /// As many requests wait as may.
    QueueFull,
    /// The app is gone, or nobody starts an instance of it.
    Unavailable,
    /// The app has as many requests as it takes, and none of them ended in time.
    Busy,
    StartFailed,
    StartTimeout,
    /// There are instances, and none takes a connection.
    Unreachable,
}

impl Fault {
    /// The status that tells the client, when nothing else was sent yet and somebody is there.
    pub fn status(self) -> Option<u16> {
        match self {
            Self::ClientGone => None,
            Self::ClientSlow => Some(408),
            Self::BodyMalformed => Some(400),
            Self::BodyTooLarge => Some(413),
            Self::Unsent | Self::UpstreamSilent | Self::UpstreamBroken(_) => Some(502),
            Self::UpstreamSlow => Some(504),
            Self::NoInstance(why) => Some(why.status()),
        }
    }

    /// What the request's record says of it.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::ClientGone => Outcome::ClientGone,
            Self::ClientSlow => Outcome::ClientTimeout,
            Self::BodyMalformed => Outcome::BadRequest,
            Self::BodyTooLarge => Outcome::TooLarge,
            Self::Unsent | Self::UpstreamSilent | Self::UpstreamBroken(_) => Outcome::UpstreamError,
            Self::UpstreamSlow => Outcome::UpstreamTimeout,
            Self::NoInstance(why) => why.outcome(),
        }
    }
}

impl NoInstance {
    fn status(self) -> u16 {
        match self {
            Self::QueueFull | Self::Busy | Self::Unavailable => 503,
            Self::StartFailed | Self::Unreachable => 502,
            Self::StartTimeout => 504,
        }
    }

    fn outcome(self) -> Outcome {
        match self {
            Self::QueueFull => Outcome::QueueFull,
            Self::Busy => Outcome::QueueTimeout,
            Self::Unavailable => Outcome::Unavailable,
            Self::StartFailed => Outcome::ColdStartFailed,
            Self::StartTimeout => Outcome::ColdStartTimeout,
            Self::Unreachable => Outcome::UpstreamError,
        }
    }
}

impl From<Unusable> for Fault {
    fn from(unusable: Unusable) -> Self {
        Self::UpstreamBroken(unusable.0)
    }
}

impl From<chunked::Malformed> for Fault {
    /// Of a request's body; a response's is mapped where it is read.
    fn from(_: chunked::Malformed) -> Self {
        Self::BodyMalformed
    }
}
