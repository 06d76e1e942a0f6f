//! Features against their definitions, and what profiles promise of order, memory and snapshots.

mod book;
mod definitions;
mod demand;
mod honest;
mod memory;
mod naive;
mod order;
mod shards;
mod snapshot;
mod stream;
