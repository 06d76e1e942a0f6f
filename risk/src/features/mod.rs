//! Features: consumes payments in sequence order, produces a row of numbers for each.
