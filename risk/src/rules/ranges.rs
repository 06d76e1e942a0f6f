//! Ranges of addresses on lists: consumes texts such as `10.0.0.0/8`, produces which of them an
//! address is in. An IPv4 address that is written as an IPv6 one counts as IPv4.

use std::{collections::BTreeMap, net::IpAddr};

/// The text that lists addresses.
pub(crate) const ADDRESS: &str = "context.ip";

/// A range: its first address, left-aligned in 128 bits, and how many of them all of it shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    family: Family,
    bits: u8,
    first: u128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn bits_max(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

/// The first bits of an address; the others are zero.
fn masked(address: u128, bits: u8) -> u128 {
    if bits == 0 { 0 } else { address & (u128::MAX << (128 - u32::from(bits))) }
}

fn aligned(address: IpAddr) -> (Family, u128) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (Family::V4, u128::from(v4.to_bits()) << 96),
        IpAddr::V6(v6) => (Family::V6, v6.to_bits()),
    }
}

impl Range {
    /// Reads a range; `None` where there is no slash, an error of what is wrong with it where there
    /// is one and it is none.
    pub(crate) fn read(text: &str) -> Option<Result<Self, &'static str>> {
        let (address, bits) = text.split_once('/')?;
        Some(Self::of(address, bits))
    }

    fn of(address: &str, bits: &str) -> Result<Self, &'static str> {
        let address: IpAddr = address.parse().map_err(|_| "does not begin with an address")?;
        let written_as = if address.is_ipv4() { 32 } else { 128 };
        let is_number = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits: Option<u8> = bits.parse().ok().filter(|bits| is_number && *bits <= written_as);
        let bits = bits.ok_or("does not end with the number of bits that are the same")?;
        let (family, first) = aligned(address);
        // The 96 bits that say "IPv4" are no part of the address.
        let surplus = written_as - family.bits_max();
        let bits = bits.checked_sub(surplus).ok_or("holds more than the IPv4 addresses")?;
        match masked(first, bits) == first {
            true => Ok(Self { family, bits, first }),
            false => Err("begins within the range, not with its first address"),
        }
    }
}

/// Ranges, and the numbers of the entries that list them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges(BTreeMap<(Family, u8), BTreeMap<u128, Vec<u32>>>);

impl Ranges {
    pub(crate) fn insert(&mut self, range: Range, entry: u32) {
        let firsts = self.0.entry((range.family, range.bits)).or_default();
        firsts.entry(range.first).or_default().push(entry);
    }

    /// Entries whose range an address is in. As many look-ups as there are lengths of ranges.
    pub(crate) fn find(&self, text: &str) -> impl Iterator<Item = u32> {
        let address = match self.0.is_empty() {
            true => None,
            false => text.parse().ok().map(aligned),
        };
        address.into_iter().flat_map(|(family, address)| {
            let of_family = (family, 0)..=(family, u8::MAX);
            let of_length =
                move |((_, bits), firsts): (&(Family, u8), &'_ BTreeMap<_, Vec<u32>>)| {
                    firsts
                        .get(&masked(address, *bits))
                        .into_iter()
                        .flatten()
                        .copied()
                        .collect::<Vec<_>>()
                };
            self.0.range(of_family).flat_map(of_length)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_range_is_told() {
        let said = |text: &str| Range::read(text).map(|read| read.err());
        let (no_address, no_bits) = (
            "does not begin with an address",
            "does not end with the number of bits that are the same",
        );
        for (text, problem) in [
            ("10.0.0.0", None),
            ("10.0.0.0/8", Some(None)),
            ("0.0.0.0/0", Some(None)),
            ("::/0", Some(None)),
            ("2001:db8::/32", Some(None)),
            ("192.0.2.7/32", Some(None)),
            ("::ffff:10.0.0.0/104", Some(None)),
            ("::ffff:10.0.0.0/90", Some(Some("holds more than the IPv4 addresses"))),
            ("10.0.0.1/8", Some(Some("begins within the range, not with its first address"))),
            ("10.0.0.0/33", Some(Some(no_bits))),
            ("10.0.0.0/", Some(Some(no_bits))),
            ("10.0.0.0/+8", Some(Some(no_bits))),
            ("10.0.0/8", Some(Some(no_address))),
            ("office/8", Some(Some(no_address))),
        ] {
            assert_eq!(said(text), problem, "{text}");
        }
    }

    /// Bit by bit, as one would by hand.
    fn is_in(address: IpAddr, range: &(IpAddr, u8)) -> bool {
        let bits = |address: IpAddr| -> Vec<bool> {
            let bytes = match address {
                IpAddr::V4(v4) => v4.octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            let bit = |byte: &u8| (0..8).map(|at| *byte >> (7 - at) & 1 == 1).collect::<Vec<_>>();
            bytes.iter().flat_map(bit).collect()
        };
        let len = usize::from(range.1);
        address.is_ipv4() == range.0.is_ipv4() && bits(address)[..len] == bits(range.0)[..len]
    }

    /// Few addresses, near each other, so that many are in ranges.
    fn addresses() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (0_u32..64, any::<u8>()).prop_map(|(high, low)| {
                IpAddr::from(std::net::Ipv4Addr::from_bits(high << 26 | u32::from(low)))
            }),
            (1_u128..32, any::<u8>()).prop_map(|(high, low)| {
                IpAddr::from(std::net::Ipv6Addr::from_bits(high << 123 | u128::from(low)))
            }),
        ]
    }

    proptest! {
        #[test]
        fn an_address_is_in_the_ranges_that_it_is_in_bit_by_bit(
            ranges in prop::collection::vec((addresses(), 0_u8..=128), 0..12),
            asked in prop::collection::vec(addresses(), 1..20),
        ) {
            let mut known: Vec<(IpAddr, u8)> = Vec::new();
            let mut found = Ranges::default();
            for (address, bits) in ranges {
                let bits = if address.is_ipv4() { bits % 33 } else { bits };
                // The range's first address.
                let (family, first) = aligned(address);
                let first = masked(first, bits);
                let first = match family {
                    Family::V4 => IpAddr::from(std::net::Ipv4Addr::from_bits((first >> 96) as u32)),
                    Family::V6 => IpAddr::from(std::net::Ipv6Addr::from_bits(first)),
                };
                if known.contains(&(first, bits)) || first.to_canonical() != first {
                    continue;
                }
                let range = Range::read(&format!("{first}/{bits}")).expect("has a slash");
                found.insert(range.expect("is one"), known.len() as u32);
                known.push((first, bits));
            }
            for address in asked {
                let mut got: Vec<u32> = found.find(&address.to_string()).collect();
                got.sort_unstable();
                let naive: Vec<u32> = (0..).zip(&known)
                    .filter(|(_, range)| is_in(address, range)).map(|(at, _)| at).collect();
                prop_assert_eq!(got, naive, "{}", address);
            }
        }
    }

    #[test]
    fn a_mapped_address_is_the_one_it_stands_for() {
        let mut ranges = Ranges::default();
        ranges.insert(Range::read("10.0.0.0/8").expect("a slash").expect("a range"), 3);
        ranges.insert(Range::read("::/0").expect("a slash").expect("a range"), 4);
        let found = |text: &str| ranges.find(text).collect::<Vec<_>>();
        assert_eq!(found("::ffff:10.1.2.3"), [3]);
        assert_eq!(found("10.1.2.3"), [3]);
        assert_eq!(found("2001:db8::1"), [4]);
        assert!(found("11.1.2.3").is_empty() && found("phone").is_empty());
    }
}
