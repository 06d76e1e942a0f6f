//! Shards: any number of threads gives the bits of one payment after the other.

use std::sync::LazyLock;

use millrace_risk::features::{Catalogue, ProfileLimits, Profiles};
use proptest::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::stream::{Event, flips};

static POOLS: LazyLock<[ThreadPool; 4]> = LazyLock::new(|| {
    [1, 2, 3, 8]
        .map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().expect("starts"))
});

fn bits(rows: &[f32]) -> Vec<u32> {
    rows.iter().map(|value| value.to_bits()).collect()
}

/// Rows of the payments up to the next label, one payment after the other.
fn naive(profiles: &mut Profiles, events: &[Event]) -> Vec<u32> {
    let mut rows = Vec::new();
    for attempt in events.iter().filter_map(Event::attempt) {
        let mut row = vec![0.0; profiles.catalogue().len()];
        profiles.observe(&attempt, &mut row);
        rows.extend(bits(&row));
    }
    rows
}

fn pieces(profiles: &mut Profiles) -> Vec<Vec<u8>> {
    profiles.begin_snapshot();
    let mut pieces = Vec::new();
    loop {
        let mut piece = Vec::new();
        let more = profiles.snapshot_slice(50, &mut piece);
        pieces.push(piece);
        if !more {
            return pieces;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Labels lie between blocks. Some limits let entities give way inside of a block, where one thread
    /// does all; what is remembered is the same, too, to the last byte of a snapshot.
    #[test]
    fn any_number_of_threads_gives_the_same(
        events in flips(2_500, 700),
        labels_every in 1_usize..900,
        entities_max in prop_oneof![Just(20_u32), Just(600), Just(100_000)],
        sweeping in any::<bool>(),
    ) {
        let limits = ProfileLimits { entities_max, payments_max: 50 };
        for catalogue in [Catalogue::standard(), Catalogue::devices(), Catalogue::book()] {
            let fresh = || {
                let mut profiles = Profiles::new(catalogue.clone(), limits);
                profiles.demand(["payer.count_1h", "payee.payers_1d"]);
                profiles
            };
            let columns = catalogue.len();
            let mut single = fresh();
            let mut sharded: Vec<_> = POOLS.iter().map(|pool| (pool, fresh())).collect();
            // Blocks of payments; then the labels that came meanwhile.
            for events in events.chunks(labels_every) {
                let attempts: Vec<_> = events.iter().filter_map(Event::attempt).collect();
                let expected = naive(&mut single, events);
                for (pool, profiles) in &mut sharded {
                    let mut rows = vec![0.0; attempts.len() * columns];
                    profiles.observe_block_on(pool, &attempts, &mut rows);
                    prop_assert_eq!(&bits(&rows), &expected);
                }
                for label in events.iter().filter_map(Event::label) {
                    single.label(&label);
                    sharded.iter_mut().for_each(|(_, profiles)| profiles.label(&label));
                }
                if sweeping {
                    sharded.iter_mut().for_each(|(_, profiles)| profiles.begin_snapshot());
                }
            }
            let remembered = pieces(&mut single);
            for (_, profiles) in &mut sharded {
                prop_assert_eq!(profiles.counts(), single.counts());
                prop_assert_eq!(&pieces(profiles), &remembered);
            }
        }
    }
}
