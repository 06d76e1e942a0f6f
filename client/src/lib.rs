//! What an upstream system does.
