//! What was probably meant: consumes an unknown word and the known ones, produces the nearest.

/// The candidate most like `word`, unless none is like it. Of several that are equally like it, the
/// first.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let likeness = strsim::jaro_winkler(&word, &candidate.to_lowercase());
        if likeness > best.map_or(0.78, |(likeness, _)| likeness) {
            best = Some((likeness, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Advice for an unknown word: the nearest, or what there is.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(nearest) = nearest(word, known.iter().copied()) {
        return format!("did you mean `{nearest}`?");
    }
    let shown: Vec<String> = known.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match known.len() {
        0 => "there is none".to_owned(),
        all if all > SHOWN => format!("known are {} and {} more", shown.join(", "), all - SHOWN),
        _ => format!("known: {}", shown.join(", ")),
    }
}
