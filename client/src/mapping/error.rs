//! Why a mapping is refused, in words for the operator who wrote it.

use std::{fmt::Write as _, io};

use super::Mapping;
use crate::remedy::remedy;

/// Why a mapping can't be used.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// The file can't be read.
    #[error("mapping {file} can't be read: {source}; {}", remedy(source))]
    Unreadable {
        /// The mapping.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// Not TOML, or a key that no mapping has.
    #[error("mapping {file} is not right: {complaint}")]
    Syntax {
        /// The mapping.
        file: String,
        /// What is wrong, with the place and the nearest known key.
        complaint: String,
    },
    /// A value that can't be right.
    #[error("mapping {file}: {key} {reason}")]
    Invalid {
        /// The mapping.
        file: String,
        /// The key at fault.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No shipped mapping is for such a file.
    #[error(
        "no mapping that comes with Millrace has the header `{}`; write a mapping for this \
         file and name it, or use one of the known headers:{known}",
        printable(header)
    )]
    NoHeaderFits {
        /// The file's header.
        header: String,
        /// One line per known header.
        known: String,
    },
}

impl MappingError {
    pub(crate) fn syntax(file: &str, error: &toml::de::Error) -> Self {
        Self::Syntax { file: file.to_owned(), complaint: toml_complaint(error) }
    }

    pub(crate) fn no_header_fits(header: &[&str], known: &[Mapping]) -> Self {
        let known = known.iter().fold(String::new(), |mut lines, mapping| {
            let _ = write!(lines, "\n  {}: {}", mapping.name, mapping.header.join(","));
            lines
        });
        Self::NoHeaderFits { header: header.join(","), known }
    }
}

/// What is wrong with a TOML text: the place, and the nearest known key where one is unknown.
#[must_use]
pub fn toml_complaint(error: &toml::de::Error) -> String {
    let mut complaint = error.to_string();
    if let Some(nearest) = nearest_known_key(error.message()) {
        let _ = write!(complaint, "did you mean `{nearest}`?");
    }
    complaint
}

/// The known key or value that is most like the unknown one. Serde names both in its message, the
/// unknown one first, each in backticks; taking them from there keeps the two lists one.
fn nearest_known_key(message: &str) -> Option<&str> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next().filter(|_| message.starts_with("unknown "))?;
    nearest(unknown, quoted)
}

/// The candidate most like `text`, unless none is.
pub(crate) fn nearest<'a>(
    text: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(text, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// What a terminal may be sent of a file that is no CSV: its first characters, without those that steer it.
fn printable(header: &str) -> String {
    const CHARACTERS_MAX: usize = 200;
    let printed = |character: char| if character.is_control() { '\u{fffd}' } else { character };
    header.chars().take(CHARACTERS_MAX).map(printed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_does_not_steer_the_terminal() {
        assert_eq!(printable("payment_id,částka"), "payment_id,částka");
        assert_eq!(printable("a\u{1b}[2Jb\r\u{9b}c"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c");
        assert_eq!(printable(&"x".repeat(1_000)).len(), 200);
    }
}
