//! Sets of address ranges, as in the lists of trusted proxies and of Cloudflare: asked for each request.

use std::net::IpAddr;

/// Ranges joined and sorted, so that a look-up is a binary search.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ranges {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Ranges {
    /// Reads `10.0.0.0/8`, `fd00::/8`, or single addresses; the error names the one that cannot be read.
    pub fn parse(list: &[String]) -> Result<Self, String> {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for text in list {
            match range(text) {
                Some(Range::V4(first, last)) => v4.push((first, last)),
                Some(Range::V6(first, last)) => v6.push((first, last)),
                None => return Err(format!("{text:?} is not a range of addresses")),
            }
        }
        Ok(Self {
            v4: joined(v4),
            v6: joined(v6),
        })
    }

    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => finds(&self.v4, ip.to_bits()),
            IpAddr::V6(ip) => finds(&self.v6, ip.to_bits()),
        }
    }
}

enum Range {
    V4(u32, u32),
    V6(u128, u128),
}

fn range(text: &str) -> Option<Range> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
        None => (text, None),
    };
    match address.parse().ok()? {
        IpAddr::V4(ip) => {
            let host_bits = 32u32.checked_sub(bits.unwrap_or(32))?;
            // A shift by the whole width is none in Rust.
            let host = u32::MAX.checked_shl(host_bits).map_or(u32::MAX, |net| !net);
            let first = ip.to_bits() & !host;
            Some(Range::V4(first, first | host))
        }
        IpAddr::V6(ip) => {
            let host_bits = 128u32.checked_sub(bits.unwrap_or(128))?;
            let host = u128::MAX
                .checked_shl(host_bits)
                .map_or(u128::MAX, |net| !net);
            let first = ip.to_bits() & !host;
            Some(Range::V6(first, first | host))
        }
    }
}

fn joined<N: Copy + Ord>(mut ranges: Vec<(N, N)>) -> Box<[(N, N)]> {
    ranges.sort_unstable();
    let mut joined: Vec<(N, N)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined.into()
}

fn finds<N: Copy + Ord>(ranges: &[(N, N)], address: N) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    // They do not overlap, so only the last one that begins before the address can contain it.
    after
        .checked_sub(1)
        .is_some_and(|at| address <= ranges[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn ranges(list: &[&str]) -> Result<Ranges, String> {
        let list: Vec<String> = list.iter().map(|&text| text.to_owned()).collect();
        Ranges::parse(&list)
    }

    #[test]
    fn a_range_contains_its_addresses_only() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/8", "10.0.0.0", "9.255.255.255"),
            ("192.168.1.7", "192.168.1.7", "192.168.1.8"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("::/0", "fd12::1", "1.2.3.4"),
            ("::1", "::1", "::2"),
        ] {
            let set = ranges(&[range]).unwrap();
            assert!(set.contains(inside.parse().unwrap()), "{range}");
            assert!(!set.contains(outside.parse().unwrap()), "{range}");
        }
        for wrong in ["", "10.0.0.0/33", "::/129", "ten", "10.0.0.0/x"] {
            assert!(ranges(&["10.0.0.0/8", wrong]).is_err(), "{wrong}");
        }
        assert!(!Ranges::default().contains("1.2.3.4".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn many_ranges_contain_what_one_of_them_contains(
            list in proptest::collection::vec((0u32..1 << 12, 20u32..=32), 0..12),
            ip in 0u32..1 << 12,
        ) {
            let texts: Vec<String> = list
                .iter()
                .map(|(net, bits)| format!("{}/{bits}", Ipv4Addr::from(*net)))
                .collect();
            let by_one = list.iter().any(|(net, bits)| (net ^ ip) >> (32 - bits) == 0);
            let set = Ranges::parse(&texts).unwrap();
            prop_assert_eq!(set.contains(Ipv4Addr::from(ip).into()), by_one);
        }
    }
}
