//! What risk and people said of an event, as cells of its row: consumes evidence and acts as the
//! journal has them, leaves out what tells of the persons who pay.

use millrace_ledger::RiskDecision;
use millrace_risk::{
    acts::{Act, ActKind},
    evidence::Evidence,
};
use serde_json::{Map, Value};

use super::journal_row::{Cell, Row};

impl Row {
    /// What risk has to say of a payment beside its verdict. A rule's reason may have values of the
    /// payment's context, so that one goes with the context.
    pub(super) fn put_evidence(&mut self, bytes: &[u8]) {
        let Some(evidence) = Evidence::read(bytes) else {
            self.put("risk_evidence_unreadable_bytes", bytes.len() as u64);
            return;
        };
        let Evidence { policy, score, challenger, fell_back, reasons, rule_reason: _ } = evidence;
        self.put("risk_policy_number", u64::from(policy));
        if let Some(score) = score {
            self.put("risk_score", Cell::Float(score));
        }
        if fell_back {
            self.put("risk_fell_back", Cell::Bool(true));
        }
        if let Some((score, decision)) = challenger {
            self.put("risk_challenger_score", Cell::Float(score));
            if let Some(decision) = RiskDecision::from_number(decision) {
                self.put("risk_challenger_decision", decision.name());
            }
        }
        if !reasons.is_empty() {
            self.put("risk_contributions", Cell::Reasons(reasons));
        }
    }

    /// What an analyst or an operator did, who and why.
    pub(super) fn put_act(&mut self, bytes: &[u8]) {
        self.put("event", "ACT");
        let Ok(act) = Act::read(bytes) else {
            self.put("act_unreadable_bytes", bytes.len() as u64);
            return;
        };
        let payment = match &act.act {
            ActKind::Label(label) => Some(label.payment),
            ActKind::ClaimReview { payment, .. } | ActKind::ResolveReview { payment, .. } => {
                Some(*payment)
            }
            ActKind::ReplayEvent(event) | ActKind::DropEvent(event) => event.payment,
            ActKind::SetPolicy { .. }
            | ActKind::Upload { .. }
            | ActKind::RebuildSink(_)
            | ActKind::RotateAuditKey(_)
            | ActKind::OpenAccounts(_)
            | ActKind::ChangeAccount(_)
            | ActKind::SetPreferences(_) => None,
            ActKind::ResendNotification(resend) => resend.payment,
        };
        if let Some(payment) = payment {
            self.put_id("payment_id", payment.as_u128());
        }
        if let ActKind::ChangeAccount(change) = &act.act {
            self.put_id("account_id", change.account.as_u128());
        }
        let (kind, details) = kind_and_details(&act.act);
        self.put("act_kind", kind);
        self.put("act_by", act.actor);
        self.put("act_why", act.why);
        self.put("act_details", Cell::Json(details));
    }
}

/// An act is an object of one field, which is called as the kind.
fn kind_and_details(act: &ActKind) -> (String, Value) {
    let act = serde_json::to_value(act).expect("text and numbers become JSON");
    let Value::Object(fields) = act else { unreachable!("every kind has fields") };
    let (kind, mut details) = fields.into_iter().next().expect("the field of the kind");
    // Of a label: what surrounds the payment.
    details.as_object_mut().map(|fields: &mut Map<_, _>| fields.remove("context"));
    (kind.to_ascii_uppercase(), details)
}

#[cfg(test)]
mod tests {
    use millrace_engine::FeedEvent;
    use millrace_ledger::{
        ActEvent, Event, EventSeq, Outcome, Payment, PaymentEvent, RejectReason, RuleName, Status,
        Timestamp, Verdict,
    };
    use millrace_risk::{
        acts::{
            AccountChangeKind, ChangeAccountAct, LabelAct, OpenAccountsAct, QuarantinedEvent,
            RebuildAct, ResendAct, RotateKeyAct, SetPreferencesAct, UploadKind,
        },
        evidence::Reason,
    };
    use uuid::Uuid;

    use super::*;

    fn row_of(event: Event, context: Vec<u8>, evidence: Vec<u8>) -> (Value, Value) {
        let event = FeedEvent { event, context: context.into(), evidence: evidence.into() };
        let json = |row: Row| {
            let mut bytes = Vec::new();
            row.put_json(&mut bytes).expect("memory takes it");
            serde_json::from_slice(&bytes).expect("is JSON")
        };
        (json(Row::of_event(Timestamp(7), &event)), json(Row::of_context(&event)))
    }

    fn declined(evidence: Vec<u8>) -> (Value, Value) {
        let rule = RuleName::new("many").expect("short");
        let event = PaymentEvent {
            seq: EventSeq(3),
            payment: Payment::default(),
            outcome: Outcome {
                status: Status::Rejected(RejectReason::RiskDeclined),
                amount: millrace_ledger::Amount(0),
            },
            verdict: Verdict { decision: RiskDecision::Decline, rule, hold_s: 0 },
            balances: None,
        };
        row_of(Event::Payment(event), Vec::new(), evidence)
    }

    #[test]
    fn a_payment_tells_what_risk_had_to_say() {
        let reason = Reason { feature: 7, value: f32::NAN, contribution: 0.25 };
        let other = Reason { feature: 0, value: 412.5, contribution: -1.0 };
        let evidence = Evidence {
            policy: 4,
            score: Some(0.75),
            challenger: Some((0.1, RiskDecision::Review as u8)),
            fell_back: true,
            reasons: vec![reason, other],
            rule_reason: Some("23 payments from 10.0.0.1".to_owned()),
        };
        let mut bytes = Vec::new();
        evidence.put(&mut bytes);
        let (row, context) = declined(bytes);
        for (name, expected) in [
            ("risk_decision", "DECLINE".into()),
            ("risk_reason", "many".into()),
            ("risk_policy_number", 4.into()),
            ("risk_score", 0.75.into()),
            ("risk_fell_back", true.into()),
            ("risk_challenger_score", serde_json::json!(0.1_f64)),
            ("risk_challenger_decision", "REVIEW".into()),
            (
                "risk_contributions",
                serde_json::json!([
                    { "feature": 7, "value": null, "contribution": 0.25 },
                    { "feature": 0, "value": 412.5, "contribution": -1.0 },
                ]),
            ),
        ] {
            assert_eq!(row[name], expected, "{name} of {row}");
        }
        assert_eq!(Cell::Reasons(vec![reason, other]).text(), "7::0.25|0:412.5:-1.0");
        assert!(row.get("risk_rule_reason").is_none(), "it may tell of persons: {row}");
        assert_eq!(context["risk_rule_reason"], "23 payments from 10.0.0.1");

        let (row, _) = declined(Vec::new());
        assert!(row.get("risk_policy_number").is_none(), "nothing was said: {row}");
        let (row, _) = declined(vec![99, 0, 1]);
        assert_eq!(row["risk_evidence_unreadable_bytes"], 3);
    }

    #[test]
    fn an_act_tells_who_did_what_and_why() {
        let payment = Uuid::from_u128(9);
        let label = LabelAct {
            payment,
            fraud: true,
            paid_at_ns: 1,
            known_at_ns: None,
            takes_back: false,
            amount_minor: 5,
            ledger: 978,
            payer: Uuid::from_u128(1),
            payee: Uuid::from_u128(2),
            context: "0a01".to_owned(),
        };
        let event = QuarantinedEvent {
            sink: "notify".to_owned(),
            event: 39,
            payment: Some(payment),
            account: None,
        };
        let rebuild =
            RebuildAct { sink: "audit".to_owned(), accept_other_root: false, done_at_ns: None };
        let rotate = RotateKeyAct {
            old_key: "a".to_owned(),
            new_key: "b".to_owned(),
            tree_size: 7,
            done_at_ns: None,
        };
        let account = Uuid::from_u128(2);
        let ids_text = account.to_string();
        let ids = serde_json::json!([ids_text]);
        let open = OpenAccountsAct { accounts: vec![account] };
        let close = ChangeAccountAct {
            account,
            change: AccountChangeKind::Close,
            credit_limit_minor: None,
        };
        let resend = ResendAct { notification: 5, payment: Some(payment), account: Some(account) };
        let set = SetPreferencesAct { owner: account };
        let upload = ActKind::Upload {
            kind: UploadKind::Model,
            artefact: "ab".to_owned(),
            title: "march.mrm".to_owned(),
            size_bytes: 5,
        };
        for (act, kind, names_payment, field, value) in [
            (
                ActKind::SetPolicy { policy: "ab".to_owned(), features: Vec::new() },
                "SET_POLICY",
                false,
                "policy",
                Value::from("ab"),
            ),
            (upload, "UPLOAD", false, "title", "march.mrm".into()),
            (ActKind::Label(label), "LABEL", true, "fraud", true.into()),
            (
                ActKind::ClaimReview { payment, by: "ann".to_owned() },
                "CLAIM_REVIEW",
                true,
                "by",
                "ann".into(),
            ),
            (
                ActKind::ResolveReview { payment, approve: false },
                "RESOLVE_REVIEW",
                true,
                "approve",
                false.into(),
            ),
            (ActKind::ReplayEvent(event.clone()), "REPLAY_EVENT", true, "event", 39.into()),
            (ActKind::DropEvent(event), "DROP_EVENT", true, "sink", "notify".into()),
            (ActKind::RebuildSink(rebuild), "REBUILD_SINK", false, "sink", "audit".into()),
            (ActKind::RotateAuditKey(rotate), "ROTATE_AUDIT_KEY", false, "tree_size", 7.into()),
            (ActKind::ChangeAccount(close), "CHANGE_ACCOUNT", false, "change", "close".into()),
            (ActKind::OpenAccounts(open), "OPEN_ACCOUNTS", false, "accounts", ids),
            (
                ActKind::ResendNotification(resend),
                "RESEND_NOTIFICATION",
                true,
                "notification",
                5.into(),
            ),
            (ActKind::SetPreferences(set), "SET_PREFERENCES", false, "owner", ids_text.into()),
        ] {
            let act = Act { actor: "ann".to_owned(), why: "it \"had\" to be".to_owned(), act };
            let event = Event::Act(ActEvent { seq: EventSeq(3) });
            let (row, whole) = row_of(event, act.to_bytes(), Vec::new());
            assert_eq!((&row["event"], &row["act_kind"]), (&"ACT".into(), &kind.into()));
            assert_eq!((&row["act_by"], &row["act_why"]), (&"ann".into(), &act.why.clone().into()));
            assert_eq!(row["act_details"][field], value, "{row}");
            assert!(row["act_details"].get("context").is_none(), "personal: {row}");
            assert_eq!(row["payment_id"] == payment.to_string(), names_payment, "{row}");
            assert_eq!(whole["act"].as_str().map(str::as_bytes), Some(&act.to_bytes()[..]));
        }
        let event = Event::Act(ActEvent { seq: EventSeq(3) });
        let (row, _) = row_of(event, b"{}".to_vec(), Vec::new());
        assert_eq!(row["act_unreadable_bytes"], 2);
    }
}
