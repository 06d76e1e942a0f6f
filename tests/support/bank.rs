//! A bank at work: consumes settings and the numbers of accounts, produces a server with these
//! accounts, a connection to it, and the words for what happens between them.

use std::path::PathBuf;

use millrace_client::Connection;
use millrace_protos::v1::{Balances, GetAccountsRequest, Payment};
use uuid::Uuid;

use super::{
    config::Settings,
    payments::{id_bytes, open, submit, word},
    scratch::Scratch,
    server::Server,
    within,
};

pub(crate) const ALICE: u128 = 0xa11ce;
pub(crate) const BOB: u128 = 0xb0b;

/// An id, as commands and queries write it.
pub(crate) fn uuid(id: u128) -> String {
    Uuid::from_u128(id).to_string()
}

/// A server on a folder of its own.
pub(crate) struct Bank {
    pub(crate) server: Server,
    pub(crate) connection: Connection,
    pub(crate) scratch: Scratch,
}

impl Bank {
    pub(crate) async fn start(settings: &Settings) -> Self {
        Self::start_in(Scratch::new(), settings).await
    }

    /// With accounts that may overdraw.
    pub(crate) async fn start_with(
        settings: &Settings,
        accounts: impl IntoIterator<Item = u128>,
    ) -> Self {
        let bank = Self::start(settings).await;
        open(&bank.connection, accounts).await;
        bank
    }

    /// On what a server before left behind.
    pub(crate) async fn start_in(scratch: Scratch, settings: &Settings) -> Self {
        let config = settings.write(scratch.path());
        let server = Server::start(&config, &scratch.join("data"));
        let connection = server.connect().await;
        Self { server, connection, scratch }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.scratch.join("data")
    }

    /// What became of a payment, in a word.
    pub(crate) async fn submit_one(&self, payment: Payment) -> String {
        let outcomes = submit(&self.connection, vec![payment]).await.expect("is taken");
        word(&outcomes[0])
    }

    pub(crate) async fn balances(&self, id: u128) -> Balances {
        let request = GetAccountsRequest { account_ids: vec![id_bytes(id)] };
        let response = within("account", self.connection.accounts().get_accounts(request)).await;
        let response = response.expect("is taken").into_inner();
        response.accounts[0].balances.expect("has balances")
    }
}
