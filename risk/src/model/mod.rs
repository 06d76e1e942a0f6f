//! Models: consumes rows of features, produces scores.
