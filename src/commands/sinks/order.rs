//! What an operator orders: has it journaled by the millrace that writes the journal, with who and why,
//! before anything happens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use millrace_client::Connection;
use millrace_engine::Feed;
use millrace_ledger::EventSeq;
use millrace_protos::v1::{
    QuarantinedEvent, RebuildSink, RecordActRequest, RotateAuditKey, record_act_request::Act,
};
use millrace_risk::acts::{ActKind, RebuildAct, RotateKeyAct};
use millrace_sinks::Ask;

use crate::{
    Failure, commands::risk::server::SignatureArgs, config::Config, live_rebuild::orders_rebuild,
    pending_acts,
};

/// Who orders something, why, and where it is journaled.
#[derive(clap::Args)]
pub(crate) struct OrderArgs {
    #[command(flatten)]
    signature: SignatureArgs,
    /// URL of the gRPC server of the millrace that writes the journal; without it, the configured
    /// ingest.listen
    #[arg(long, value_name = "URL")]
    target: Option<String>,
}

/// Journals orders.
pub(crate) struct Door<'a> {
    connection: Connection,
    args: &'a OrderArgs,
}

impl OrderArgs {
    /// Connects to the millrace that journals.
    pub(crate) async fn door(&self, config: &Config) -> Result<Door<'_>, Failure> {
        let url = self.target.clone().unwrap_or_else(|| url_of(config.ingest.listen));
        let connection = Connection::open(&url).await.map_err(|error| {
            format!("nothing was done, because who does it and why is journaled first: {error}")
        })?;
        Ok(Door { connection, args: self })
    }

    /// Leaves the order for the next start of a millrace that is stopped.
    pub(crate) fn leave(&self, config: &Config, act: ActKind) -> Result<(), Failure> {
        let (actor, why) = (self.signature.actor()?, self.signature.why.clone());
        millrace_ingest::check_signature(&actor, &why)?;
        let dir = config.pending_acts_dir();
        pending_acts::leave(&dir, actor, why, act).map_err(|error| {
            let dir = dir.display();
            format!("nothing was done: who does it and why can't be written to {dir}: {error}")
        })?;
        Ok(())
    }
}

impl Door<'_> {
    async fn record(&self, act: Act) -> Result<EventSeq, Failure> {
        let SignatureArgs { why, .. } = &self.args.signature;
        let (actor, why) = (self.args.signature.actor()?, why.clone());
        let request = RecordActRequest { actor, why, act: Some(act) };
        let answer = self.connection.operator().record_act(request).await;
        let answer = answer.map_err(|status| self.connection.explain(&status))?;
        Ok(EventSeq(answer.into_inner().event_sequence))
    }

    /// Journals what is to become of an event in quarantine.
    pub(crate) async fn resolve(
        &self,
        ask: Ask,
        sink: &str,
        event_sequence: u64,
    ) -> Result<EventSeq, Failure> {
        let event = QuarantinedEvent { sink: sink.to_owned(), event_sequence };
        let act = match ask {
            Ask::Replay => Act::ReplayEvent(event),
            Ask::Drop => Act::DropEvent(event),
        };
        self.record(act).await
    }

    /// Journals that the audit log has another key.
    pub(crate) async fn rotate(&self, act: RotateKeyAct) -> Result<EventSeq, Failure> {
        let RotateKeyAct { old_key, new_key, tree_size, .. } = act;
        self.record(Act::RotateAuditKey(RotateAuditKey { old_key, new_key, tree_size })).await
    }

    /// Journals that a sink is built anew, in the journal that it is built from.
    pub(crate) async fn rebuild(
        &self,
        config: &Config,
        act: &RebuildAct,
    ) -> Result<EventSeq, Failure> {
        let RebuildAct { sink, accept_other_root, .. } = act.clone();
        let seq = self.record(Act::RebuildSink(RebuildSink { sink, accept_other_root })).await?;
        let journal = config.journal_dir();
        if orders_rebuild(&Feed::follow(&journal)?, seq, &act.sink)?.is_none() {
            let (url, journal) = (self.connection.url(), journal.display());
            return Err(format!(
                "nothing was done: the millrace at {url} does not write the journal {journal}. Name \
                 the one that does with --target"
            )
            .into());
        }
        Ok(seq)
    }
}

/// Where a server that listens there is reached from here.
fn url_of(listen: SocketAddr) -> String {
    let mut address = listen;
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_listens_everywhere_is_reached_here() {
        for (listen, url) in [
            ("127.0.0.1:7400", "http://127.0.0.1:7400"),
            ("0.0.0.0:7400", "http://127.0.0.1:7400"),
            ("[::]:7400", "http://[::1]:7400"),
            ("10.0.0.7:1", "http://10.0.0.7:1"),
        ] {
            assert_eq!(url_of(listen.parse().expect("an address")), url);
        }
    }
}
