//! Numbers as text: consumes figures, produces what people read.

/// With this many decimals and a comma between thousands; "–" where there is no number.
#[must_use]
pub fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    // What rounds to nothing has no sign.
    let is_negative = value < 0.0 && text.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
    format!("{}{grouped}{rest}", if is_negative { "-" } else { "" })
}

/// A whole number with a comma between thousands.
pub(super) fn whole(value: u64) -> String {
    fixed(value as f64, 0)
}

/// A share as a percentage.
#[must_use]
pub fn percent(share: f64) -> String {
    match share.abs() {
        share if share > 0.0 && share < 0.01 => format!("{}%", fixed(share * 100.0, 2)),
        _ => format!("{}%", fixed(share * 100.0, 1)),
    }
}

/// Four significant digits or so, for values of unknown size.
pub(super) fn general(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 1e-4 => format!("{value:.1e}"),
        size if size < 1.0 => fixed(value, 4),
        size if size < 100.0 => fixed(value, 2),
        size if size < 1e9 => fixed(value, 0),
        _ => format!("{value:.2e}"),
    }
}

/// A short form for the marks of an axis: 0.2, 15, 1.5k, 2M.
pub(super) fn tick(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    // Marks are 1, 2 or 5 times a power of ten, or multiples of these: few digits are enough.
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{}{unit}", if text == "-0" { "0" } else { text })
}

/// Text that stands for itself in HTML, in an attribute, too.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (found, expected) in [
            (fixed(1_234_567.891, 2), "1,234,567.89"),
            (fixed(-999.5, 0), "-1,000"),
            (fixed(-0.001, 2), "0.00"),
            (fixed(f64::NAN, 2), "–"),
            (whole(12), "12"),
            (percent(0.1234), "12.3%"),
            (percent(0.0012), "0.12%"),
            (percent(0.0), "0.0%"),
            (general(0.000_01), "1.0e-5"),
            (general(12.345), "12.35"),
            (general(-4_321.0), "-4,321"),
            (tick(0.2), "0.2"),
            (tick(1_500.0), "1.5k"),
            (tick(2e6), "2M"),
            (tick(-0.0), "0"),
            (tick(0.0005), "0.0005"),
        ] {
            assert_eq!(found, expected);
        }
        assert_eq!(escaped("<b title=\"x\">'&"), "&lt;b title=&quot;x&quot;&gt;&#39;&amp;");
    }
}
