//! The audit log that queries see: turns entries, proofs and checkpoints into GraphQL objects, so
//! that a client can check them without trusting this server.

use async_graphql::{Context, InputObject, Object, Result, SimpleObject};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use millrace_ledger::{AccountId, PaymentId};
use uuid::Uuid;

use super::{
    connection::{Connection, connection},
    enums::AuditKind,
    error::{audit_failed, malformed, no_audit_log},
    model::Order,
    paging::{Of, Paging, time},
    services::Services,
};
use crate::{
    audit::{self, AuditError, AuditQuery, AuditReader, Hash},
    text::{put_hex, rfc3339},
};

/// Which entries: those that pass all that is set.
#[derive(InputObject, Default)]
pub(super) struct AuditFilter {
    /// Acts of this person or service.
    actor: Option<String>,
    /// That name this account.
    account: Option<Uuid>,
    /// That name this payment, as their own or as the one that they refer to.
    payment: Option<Uuid>,
    /// RFC 3339: then or later.
    from_time: Option<String>,
    /// RFC 3339: before.
    to_time: Option<String>,
}

pub(super) struct AuditEntry(audit::AuditEntry);

/// An entry of the audit log.
#[Object]
impl AuditEntry {
    /// Its place in the log and in the tree, from 0, as decimal text.
    async fn index(&self) -> String {
        self.0.index.to_string()
    }

    /// Position of its event in the journal, as decimal text.
    async fn seq(&self) -> String {
        self.0.seq.to_string()
    }

    /// Time of its batch. RFC 3339, UTC.
    async fn time(&self) -> String {
        rfc3339(self.0.time)
    }

    /// What it is about.
    async fn kind(&self) -> AuditKind {
        self.0.kind.into()
    }

    /// Who did it; only acts have one.
    async fn actor(&self) -> Option<&str> {
        self.0.actor.as_deref()
    }

    /// Why; acts and quarantined events have one.
    async fn why(&self) -> Option<&str> {
        self.0.why.as_deref()
    }

    /// The payment that it is about.
    async fn payment_id(&self) -> Option<Uuid> {
        self.0.payment.map(|id| Uuid::from_u128(id.0))
    }

    /// The accounts that it names.
    async fn account_ids(&self) -> Vec<Uuid> {
        self.0.accounts.iter().map(|id| Uuid::from_u128(id.0)).collect()
    }

    /// The entry as it stands in the log: one JSON object. The leaf hash covers exactly this text.
    async fn line(&self) -> &str {
        &self.0.line
    }

    /// That it is in the tree of this size; of the newest checkpoint unless told.
    #[graphql(complexity = 50)]
    async fn proof(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Entries of the tree, as decimal text.")] tree_size: Option<String>,
    ) -> Result<InclusionProof> {
        let index = self.0.index;
        let size = tree_size.map(|text| number("treeSize", &text)).transpose()?;
        let proof = ask(ctx, move |log| {
            let size = size.map_or_else(|| log.checkpoint().map(|head| head.tree_size), Ok)?;
            log.inclusion_proof(index, size)
        });
        let proof = proof.await?;
        Ok(InclusionProof {
            index: proof.index.to_string(),
            tree_size: proof.tree_size.to_string(),
            leaf_hash: hex(&proof.leaf_hash),
            hashes: proof.hashes.iter().map(|hash| hex(hash)).collect(),
            root_hash: hex(&proof.root_hash),
        })
    }
}

/// That an entry is in the tree of a size: RFC 6962, section 2.1.1. Hashes are hexadecimal.
#[derive(SimpleObject)]
struct InclusionProof {
    /// The entry, from 0, as decimal text.
    index: String,
    /// Entries of the tree, as decimal text.
    tree_size: String,
    /// SHA-256 of a zero byte and the entry's line.
    leaf_hash: String,
    /// The audit path, from the leaf's sibling up.
    hashes: Vec<String>,
    /// Root of that tree.
    root_hash: String,
}

/// That the tree of one size is the beginning of the tree of another: RFC 6962, section 2.1.2.
/// Hashes are hexadecimal.
#[derive(SimpleObject)]
pub(super) struct ConsistencyProof {
    /// Entries of the smaller tree, as decimal text.
    from: String,
    /// Entries of the larger tree, as decimal text.
    to: String,
    /// The nodes, in the order of RFC 6962.
    hashes: Vec<String>,
    /// Root of the smaller tree.
    from_root: String,
    /// Root of the larger tree.
    to_root: String,
}

/// What the log's key says that the log holds.
#[derive(SimpleObject)]
pub(super) struct AuditCheckpoint {
    /// Name of the log.
    origin: String,
    /// Entries of the tree, as decimal text.
    tree_size: String,
    /// Root of the tree, hexadecimal.
    root_hash: String,
    /// When it was signed. RFC 3339, UTC.
    time: String,
    /// The oldest entry that was kept at that time, from 0, as decimal text.
    oldest: String,
    /// Which key signed, hexadecimal.
    key_id: String,
    /// Ed25519, over the checkpoint's text, in base64.
    signature: String,
}

fn hex(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    put_hex(&mut text, bytes);
    String::from_utf8(text).expect("hexadecimal digits are text")
}

fn number(argument: &str, text: &str) -> Result<u64> {
    text.parse().map_err(|_| malformed(argument, text, "a number"))
}

/// Asks the log, on a thread that may block.
async fn ask<T: Send + 'static>(
    ctx: &Context<'_>,
    question: impl FnOnce(&AuditReader) -> Result<T, AuditError> + Send + 'static,
) -> Result<T> {
    let log = Services::of(ctx)?.audit.clone();
    let log = log.ok_or_else(no_audit_log)?;
    let answer = tokio::task::spawn_blocking(move || question(&log)).await?;
    answer.map_err(|error| audit_failed(&error))
}

/// Entries, newest first.
pub(super) async fn entries(
    ctx: &Context<'_>,
    filter: AuditFilter,
    page: Paging,
) -> Result<Connection<AuditEntry>> {
    let query = AuditQuery {
        actor: filter.actor,
        account: filter.account.map(|id| AccountId(id.as_u128())),
        payment: filter.payment.map(|id| PaymentId(id.as_u128())),
        from_time: time(filter.from_time)?,
        to_time: time(filter.to_time)?,
    };
    page_of(ctx, query, page).await
}

/// Entries that name a payment, newest first.
pub(super) async fn of_payment(
    ctx: &Context<'_>,
    payment: PaymentId,
    page: Paging,
) -> Result<Connection<AuditEntry>> {
    page_of(ctx, AuditQuery { payment: Some(payment), ..AuditQuery::default() }, page).await
}

async fn page_of(
    ctx: &Context<'_>,
    query: AuditQuery,
    page: Paging,
) -> Result<Connection<AuditEntry>> {
    let page = page.numbered(Of::Entries)?;
    let read = move |log: &AuditReader| {
        page.read(Order::NewestFirst, |span, limit| log.page(&query, span, limit))
    };
    let place = |entry: &audit::AuditEntry| u128::from(entry.index);
    Ok(connection(ask(ctx, read).await?, Of::Entries, place, AuditEntry))
}

/// One entry.
pub(super) async fn entry(ctx: &Context<'_>, index: &str) -> Result<Option<AuditEntry>> {
    let index = number("index", index)?;
    Ok(ask(ctx, move |log| log.entry(index)).await?.map(AuditEntry))
}

/// The newest checkpoint.
pub(super) async fn checkpoint(ctx: &Context<'_>) -> Result<AuditCheckpoint> {
    let head = ask(ctx, AuditReader::checkpoint).await?;
    Ok(AuditCheckpoint {
        origin: head.origin,
        tree_size: head.tree_size.to_string(),
        root_hash: hex(&head.root_hash),
        time: rfc3339(head.time),
        oldest: head.oldest.to_string(),
        key_id: hex(&head.key_id),
        signature: STANDARD.encode(head.signature),
    })
}

/// That one tree is the beginning of another.
pub(super) async fn consistency(
    ctx: &Context<'_>,
    from: &str,
    to: &str,
) -> Result<ConsistencyProof> {
    let (from, to) = (number("from", from)?, number("to", to)?);
    let proof = ask(ctx, move |log| log.consistency_proof(from, to)).await?;
    let hex = |hash: &Hash| hex(hash);
    Ok(ConsistencyProof {
        from: proof.from.to_string(),
        to: proof.to.to_string(),
        hashes: proof.hashes.iter().map(hex).collect(),
        from_root: hex(&proof.from_root),
        to_root: hex(&proof.to_root),
    })
}
