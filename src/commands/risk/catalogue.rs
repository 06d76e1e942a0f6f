//! Catalogues on the command line: consumes a shipped one's name or a path, produces a catalogue and
//! its text.

use std::fs;

use millrace_risk::features::Catalogue;

use crate::Failure;

/// The catalogue of this name, or in the file of this name.
pub(crate) fn load(name: &str) -> Result<(Catalogue, String), Failure> {
    if let Some((catalogue, text)) = Catalogue::shipped(name) {
        return Ok((catalogue, text.to_owned()));
    }
    let text = fs::read_to_string(name).map_err(|error| {
        format!(
            "the catalogue {name} can't be read: {error}; name a file, book, standard or devices"
        )
    })?;
    let catalogue = Catalogue::parse(&text).map_err(|error| format!("{name}: {error}"))?;
    Ok((catalogue, text))
}
