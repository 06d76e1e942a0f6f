//! What a sink is asked about an entry of its quarantine: consumes a request, which names an act of
//! the journal, and guarantees that nothing is done that the journal does not order.

use millrace_engine::FeedEvent;
use millrace_ledger::{Event, EventSeq};
use millrace_risk::acts::{Act, ActKind};
use serde::{Deserialize, Serialize};

use super::Ask;
use crate::SourceError;

/// Reads an event of the journal, wherever the sink stands; `None` while it is not there yet.
pub(crate) type Find<'a> = &'a dyn Fn(EventSeq) -> Result<Option<FeedEvent>, SourceError>;

/// A request, as it lies beside the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// The act that orders it.
    pub(super) act: u64,
}

/// What the journal says of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// It orders it. Who did.
    Given { actor: String },
    /// It can't be asked now, or does not go so far yet.
    NotYet,
    /// It does not. Why, in a sentence.
    NotGiven(String),
}

/// Looks for the act that the request names. `request` is `None` where it names none.
pub(super) fn look(
    request: Option<Request>,
    (sink, seq, ask): (&str, u64, Ask),
    find: Find<'_>,
) -> Order {
    let Some(Request { act }) = request else {
        return Order::NotGiven(
            "the request names no act of the journal; ask with `millrace sinks quarantine`, which \
             has it journaled first"
                .to_owned(),
        );
    };
    let found = match find(EventSeq(act)) {
        Ok(Some(found)) => found,
        Ok(None) => return Order::NotYet,
        Err(error) if error.transient => return Order::NotYet,
        Err(error) => return Order::NotGiven(format!("act {act} can't be read: {error}")),
    };
    let asked = match (&found.event, Act::read(&found.context)) {
        (Event::Act(_), Ok(act)) => Some(act),
        _ => None,
    };
    match asked {
        Some(Act { actor, act, .. }) if orders(&act, sink, seq, ask) => Order::Given { actor },
        _ => Order::NotGiven(format!(
            "event {act} of the journal does not order to {} event {seq}; was that journaled by \
             another millrace?",
            ask.name()
        )),
    }
}

fn orders(act: &ActKind, sink: &str, seq: u64, ask: Ask) -> bool {
    match (ask, act) {
        (Ask::Replay, ActKind::ReplayEvent(event)) | (Ask::Drop, ActKind::DropEvent(event)) => {
            (event.sink.as_str(), event.event) == (sink, seq)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use millrace_ledger::ActEvent;
    use millrace_risk::acts::QuarantinedEvent;

    use super::*;

    fn event_of(act: &[u8]) -> FeedEvent {
        let event = Event::Act(ActEvent { seq: EventSeq(57) });
        FeedEvent { event, context: act.to_vec().into(), evidence: Vec::new().into() }
    }

    #[test]
    fn nothing_is_done_that_the_journal_does_not_order() {
        let named = |sink: &str, event| QuarantinedEvent {
            sink: sink.to_owned(),
            event,
            payment: None,
            account: None,
        };
        let written = |act| Act { actor: "ann".into(), why: "why".into(), act }.to_bytes();
        let error = |transient| SourceError { text: "is away".into(), transient };
        let given = || Order::Given { actor: "ann".to_owned() };
        let no = "does not order to drop event 39";
        let drop_39 = || written(ActKind::DropEvent(named("notify", 39)));
        let cases = [
            (Ok(Some(event_of(&drop_39()))), Ok(given())),
            (Ok(None), Ok(Order::NotYet)),
            (Err(error(true)), Ok(Order::NotYet)),
            (Err(error(false)), Err("act 57 can't be read: is away")),
            (Ok(Some(event_of(&written(ActKind::DropEvent(named("notify", 38)))))), Err(no)),
            (Ok(Some(event_of(&written(ActKind::DropEvent(named("graphql", 39)))))), Err(no)),
            (Ok(Some(event_of(&written(ActKind::ReplayEvent(named("notify", 39)))))), Err(no)),
            (Ok(Some(event_of(b"{}"))), Err(no)),
        ];
        for (found, expected) in cases {
            let what = ("notify", 39, Ask::Drop);
            let order = look(Some(Request { act: 57 }), what, &|_| found.clone());
            match (order, expected) {
                (Order::NotGiven(text), Err(part)) => assert!(text.contains(part), "{text}"),
                (order, expected) => assert_eq!(Ok(order), expected, "{found:?}"),
            }
        }
        let nobody =
            look(None, ("notify", 39, Ask::Drop), &|_| unreachable!("nothing to look for"));
        assert!(matches!(nobody, Order::NotGiven(text) if text.contains("names no act")));
    }
}
