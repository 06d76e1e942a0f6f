//! Runs against a model, and runs that are damaged.
