//! What resolvers read through: the model, the cache, and the loader that gathers the look-ups of a
//! query into one. Guarantees that fields that stand side by side cost one read, however many there
//! are.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_graphql::{
    Context, Result,
    dataloader::{DataLoader, Loader},
};
use millrace_ledger::{AccountId, PaymentId};

use super::{
    error::read_failed,
    model::{ReadModel, Reading},
    read::{AccountView, PaymentView, ReadError},
    read_cache::ReadCache,
};

/// Most ids of one read.
const BATCH_MAX: usize = 500;
/// Turns of the runtime before a read: in each, some thirty fields of a list ask.
const TURNS: usize = 8;

/// Reads for resolvers.
pub(super) struct Reader {
    pub(super) model: Arc<dyn ReadModel>,
    pub(super) cache: Arc<ReadCache>,
    loader: DataLoader<Entities>,
}

struct Entities {
    model: Arc<dyn ReadModel>,
    cache: Arc<ReadCache>,
}

impl Reader {
    pub(super) fn new(model: Arc<dyn ReadModel>, cache_entries: u64) -> Self {
        let cache = Arc::new(ReadCache::new(cache_entries));
        let entities = Entities { model: Arc::clone(&model), cache: Arc::clone(&cache) };
        let loader = DataLoader::new(entities, |load| tokio::spawn(after_the_others(load)));
        // It waits for others that are ready, not for a time.
        let loader = loader.delay(Duration::ZERO).max_batch_size(BATCH_MAX);
        Self { model, cache, loader }
    }

    /// The reader of a query.
    pub(super) fn of<'a>(ctx: &Context<'a>) -> Result<&'a Self> {
        ctx.data::<Self>()
    }

    pub(super) async fn payment(&self, id: PaymentId) -> Result<Option<Arc<PaymentView>>> {
        if id == PaymentId::ZERO {
            return Ok(None);
        }
        if let Some(known) = self.cache.payment(self.model.as_ref(), id) {
            return Ok(Some(known));
        }
        self.loader.load_one(id).await.map_err(|error| read_failed(&error))
    }

    pub(super) async fn account(&self, id: AccountId) -> Result<Option<Arc<AccountView>>> {
        if id == AccountId::ZERO {
            return Ok(None);
        }
        if let Some(known) = self.cache.account(self.model.as_ref(), id) {
            return Ok(Some(known));
        }
        self.loader.load_one(id).await.map_err(|error| read_failed(&error))
    }
}

/// Lets all resolvers that are ready ask before the load begins. A long list of them takes several
/// turns.
async fn after_the_others(load: impl Future<Output = ()>) {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
    load.await;
}

/// Reads from the model for a resolver.
pub(super) async fn read<'a, T: 'a>(
    ctx: &Context<'a>,
    ask: impl FnOnce(&'a dyn ReadModel) -> Reading<'a, T>,
) -> Result<T> {
    let reader = Reader::of(ctx)?;
    ask(reader.model.as_ref()).await.map_err(|error| read_failed(&error))
}

impl Loader<PaymentId> for Entities {
    type Value = Arc<PaymentView>;
    type Error = Arc<ReadError>;

    async fn load(
        &self,
        ids: &[PaymentId],
    ) -> Result<HashMap<PaymentId, Arc<PaymentView>>, Arc<ReadError>> {
        // What is read now stands as of this place, or a later one.
        let read_at = self.model.place().seq;
        let found = self.model.payments_by_id(ids.to_vec()).await?;
        let known = ids.iter().copied().zip(found);
        let known = known.filter_map(|(id, view)| Some((id, view?)));
        Ok(known.map(|(id, view)| (id, self.cache.keep_payment(read_at, view))).collect())
    }
}

impl Loader<AccountId> for Entities {
    type Value = Arc<AccountView>;
    type Error = Arc<ReadError>;

    async fn load(
        &self,
        ids: &[AccountId],
    ) -> Result<HashMap<AccountId, Arc<AccountView>>, Arc<ReadError>> {
        let read_at = self.model.place().seq;
        let found = self.model.accounts_by_id(ids.to_vec()).await?;
        let known = ids.iter().copied().zip(found);
        let known = known.filter_map(|(id, view)| Some((id, view?)));
        Ok(known.map(|(id, view)| (id, self.cache.keep_account(read_at, view))).collect())
    }
}
