//! Features against their definitions, and what profiles promise of order, memory and snapshots.

mod book;
mod definitions;
mod honest;
mod memory;
mod naive;
mod order;
mod snapshot;
mod stream;
