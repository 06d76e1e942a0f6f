//! Rules: consumes an analyst's expressions and lists, produces a decision for a row of features.
