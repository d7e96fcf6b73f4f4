//! Which coding a client would have, by its Accept-Encoding (RFC 9110, 12.5.3).

/// A coding that the proxy can put a body into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Brotli,
    Gzip,
}

impl Algorithm {
    /// As Content-Encoding and access records name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// What a client accepts, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accepted {
    /// It did not say.
    #[default]
    Unsaid,
    /// Neither of ours, or the body as it is rather than in one of them.
    Neither,
    Best(Algorithm),
}

/// Weights in thousandths; none where the coding is not named.
#[derive(Default)]
struct Weights {
    brotli: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Accepted {
    /// Reads the values of all Accept-Encoding fields of a request.
    pub fn of<'v>(values: impl Iterator<Item = &'v [u8]>) -> Self {
        let mut weights = Weights::default();
        let mut is_said = false;
        for value in values {
            is_said = true;
            for element in value.split(|byte| *byte == b',') {
                weights.take(element);
            }
        }
        if is_said {
            weights.best()
        } else {
            Self::Unsaid
        }
    }
}

/// The codings that a client would rather have than the body as it is, the best one first.
pub fn ranked<'v>(values: impl Iterator<Item = &'v [u8]>) -> [Option<Algorithm>; 2] {
    let mut weights = Weights::default();
    for element in values.flat_map(|value| value.split(|byte| *byte == b',')) {
        weights.take(element);
    }
    weights.ranked()
}

impl Weights {
    fn take(&mut self, element: &[u8]) {
        let mut parts = element.split(|byte| *byte == b';');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let Some(weight) = weight(parts) else {
            // What is malformed is not accepted.
            return;
        };
        let slot = if name.eq_ignore_ascii_case(b"br") {
            &mut self.brotli
        } else if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
            &mut self.gzip
        } else if name.eq_ignore_ascii_case(b"identity") {
            &mut self.identity
        } else if name == b"*" {
            &mut self.any
        } else {
            return;
        };
        *slot = Some(weight);
    }

    fn best(&self) -> Accepted {
        let [best, _] = self.ranked();
        best.map_or(Accepted::Neither, Accepted::Best)
    }

    fn ranked(&self) -> [Option<Algorithm>; 2] {
        let of = |named: Option<u16>| named.or(self.any).unwrap_or(0);
        let (brotli, gzip) = (of(self.brotli), of(self.gzip));
        // Sending the body as it is, is always acceptable, but preferred only when that is said.
        let is_wanted =
            |weight: u16| weight > 0 && self.identity.is_none_or(|identity| identity <= weight);
        let brotli = is_wanted(brotli).then_some((brotli, Algorithm::Brotli));
        let gzip = is_wanted(gzip).then_some((gzip, Algorithm::Gzip));
        let name = |ranked: Option<(u16, Algorithm)>| ranked.map(|(_, algorithm)| algorithm);
        match (brotli, gzip) {
            (Some((one, _)), Some((other, _))) if one < other => [name(gzip), name(brotli)],
            (None, _) => [name(gzip), None],
            _ => [name(brotli), name(gzip)],
        }
    }
}

/// The weight among an element's parameters, 1 when there is none.
fn weight<'p>(mut parameters: impl Iterator<Item = &'p [u8]>) -> Option<u16> {
    let Some(parameter) = parameters.next() else {
        return Some(1000);
    };
    let (name, value) = parameter.trim_ascii().split_first_chunk::<2>()?;
    if !name.eq_ignore_ascii_case(b"q=") || parameters.next().is_some() {
        return None;
    }
    let (whole, decimals) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut thousandths = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    let mut place = 100;
    for digit in decimals {
        thousandths += u16::from(digit.is_ascii_digit().then(|| digit - b'0')?) * place;
        place /= 10;
    }
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepted(value: &str) -> Accepted {
        Accepted::of(std::iter::once(value.as_bytes()))
    }

    #[test]
    fn the_coding_with_the_greatest_weight_is_chosen_and_brotli_wins_a_tie() {
        use Algorithm::{Brotli, Gzip};
        for (value, expected) in [
            ("gzip, deflate, br, zstd", Accepted::Best(Brotli)),
            ("gzip", Accepted::Best(Gzip)),
            ("x-gzip", Accepted::Best(Gzip)),
            ("GZIP;Q=1.0", Accepted::Best(Gzip)),
            ("br;q=0.5, gzip;q=0.8", Accepted::Best(Gzip)),
            ("br;q=0.8,gzip;q=0.8", Accepted::Best(Brotli)),
            ("br;q=0, gzip", Accepted::Best(Gzip)),
            ("*", Accepted::Best(Brotli)),
            ("*;q=0.1, br;q=0", Accepted::Best(Gzip)),
            ("gzip;q=0.2, identity;q=0.5", Accepted::Neither),
            ("gzip, identity", Accepted::Best(Gzip)),
            ("identity", Accepted::Neither),
            ("deflate, zstd", Accepted::Neither),
            ("", Accepted::Neither),
            ("br;q=0, gzip;q=0", Accepted::Neither),
            ("br;q=1.001", Accepted::Neither),
            ("br;q=0.1234", Accepted::Neither),
            ("br;level=3", Accepted::Neither),
            ("br;q=", Accepted::Neither),
            ("br;q", Accepted::Neither),
            ("gzip;q=0.001", Accepted::Best(Gzip)),
        ] {
            assert_eq!(accepted(value), expected, "{value:?}");
        }
        assert_eq!(Accepted::of(std::iter::empty()), Accepted::Unsaid);
        let two = [&b"gzip;q=0.5"[..], b"br"];
        assert_eq!(Accepted::of(two.into_iter()), Accepted::Best(Brotli));
    }

    proptest! {
        #[test]
        fn a_coding_that_is_excluded_is_never_chosen(rest in "[a-z*;=., 0-9]{0,40}") {
            let value = format!("br;q=0,gzip;q=0,{rest}");
            // Only the rest may name them again.
            if !rest.contains("br") && !rest.contains("gzip") {
                prop_assert_eq!(accepted(&value), Accepted::Neither);
            }
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Accepted::of(std::iter::once(&bytes[..]));
        }
    }
}
