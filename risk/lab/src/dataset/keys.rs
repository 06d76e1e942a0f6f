//! Keys: consumes the columns of payments, produces the entities of each payment in the order of a
//! catalogue.

use millrace_risk::features::{Catalogue, EntityKey, EntitySource, KeyMaker};

use crate::data::{Names, Payments};

/// The keys of payments, as many for each as the catalogue has kinds of entities.
pub(super) struct Keys {
    stride: usize,
    keys: Vec<EntityKey>,
}

impl Keys {
    /// The keys of the first payments.
    pub(super) fn new(payments: &Payments, catalogue: &Catalogue, count: usize) -> Self {
        let stride = catalogue.entities().len();
        let mut keys = vec![EntityKey::ABSENT; stride * count];
        let mut has_pairs = false;
        for (place, entity) in catalogue.entities().iter().enumerate() {
            let column = match &entity.source {
                EntitySource::Payer => Some((payments.payers(), payments.payer())),
                EntitySource::Payee => Some((payments.payees(), payments.payee())),
                EntitySource::Context(field) => column(payments, field),
                EntitySource::Pair(..) => {
                    has_pairs = true;
                    None
                }
            };
            let Some((names, numbers)) = column else { continue };
            let of_number = of_names(&entity.name, names);
            for (keys, number) in keys.chunks_exact_mut(stride).zip(numbers) {
                keys[place] = of_number[*number as usize];
            }
        }
        if has_pairs {
            keys.chunks_exact_mut(stride).for_each(|keys| catalogue.pair_keys(keys));
        }
        Self { stride, keys }
    }

    pub(super) fn of(&self, row: usize) -> &[EntityKey] {
        &self.keys[row * self.stride..][..self.stride]
    }
}

/// What is said in place of a value is absent.
fn of_names(kind: &str, names: &Names) -> Vec<EntityKey> {
    let maker = KeyMaker::new(kind);
    let key = |name: &str| match name {
        "" => EntityKey::ABSENT,
        name => maker.key(name.as_bytes()),
    };
    names.iter().map(key).collect()
}

/// The column of a context field.
fn column<'a>(payments: &'a Payments, field: &str) -> Option<(&'a Names, &'a [u32])> {
    let context = payments.context(field)?;
    Some((&context.names, &context.values))
}

/// Kinds of entities that these payments know nothing of: their features are missing in each row.
pub(super) fn absent<'a>(payments: &Payments, catalogue: &'a Catalogue) -> Vec<&'a str> {
    let is_absent = |source: &EntitySource| match source {
        EntitySource::Context(field) => column(payments, field).is_none(),
        _ => false,
    };
    let entities = catalogue.entities().iter().filter(|entity| is_absent(&entity.source));
    entities.map(|entity| entity.name.as_str()).collect()
}
