//! Acts: what analysts do to the policy and to reviews, operators to sinks and notifications, and
//! whoever keeps the accounts to those, as the journal records it.
//!
//! JSON, because people read it in the journal and the audit log: at most [`ACT_LEN_MAX`] bytes. An
//! act names what it needs in full, so that a replay needs no other source.

use millrace_ledger::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest act, in bytes.
pub const ACT_LEN_MAX: usize = 64 << 10;

/// Most accounts that one act names: with the longest actor and reason they are below [`ACT_LEN_MAX`].
pub const ACT_ACCOUNTS_MAX: usize = 1_000;

/// An act, with who did it and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// Who did it, as the front door authenticated them or as they say.
    pub actor: String,
    /// Why.
    pub why: String,
    /// What was done.
    pub act: ActKind,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ActKind {
    /// A policy is in force from here on. It and what it names are on the shelf.
    SetPolicy {
        /// BLAKE3 of the policy document, in hexadecimal.
        policy: String,
        /// The features on demand that it needs, by name. Those that weren't kept begin here.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        features: Vec<String>,
    },
    /// Something was put on the shelf. It decides nothing until a policy names it.
    Upload {
        /// What it is.
        kind: UploadKind,
        /// Its BLAKE3, in hexadecimal.
        artefact: String,
        /// What people call it: the name of its file, mostly.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        title: String,
        /// Its length.
        size_bytes: u64,
    },
    /// A payment turned out to be fraud, or not to be.
    Label(LabelAct),
    /// An analyst took a review on, or gave it back.
    ClaimReview {
        /// The payment under review.
        payment: Uuid,
        /// Whose it is now; nobody's when empty.
        by: String,
    },
    /// An analyst decided a review. The capture or void follows as a payment.
    ResolveReview {
        /// The payment under review.
        payment: Uuid,
        /// Whether the money goes through.
        approve: bool,
    },
    /// An operator has a sink process an event that is in its quarantine.
    ReplayEvent(QuarantinedEvent),
    /// An operator has a sink forget an event that is in its quarantine: its effect will never be.
    DropEvent(QuarantinedEvent),
    /// An operator has a sink built anew from the journal.
    RebuildSink(RebuildAct),
    /// An operator gave the audit log another key. Both keys say so, in the log's own files.
    RotateAuditKey(RotateKeyAct),
    /// Somebody asked for accounts to be opened. Those that were new are in the events behind it.
    OpenAccounts(OpenAccountsAct),
    /// Somebody changed an account: the event behind it has the change.
    ChangeAccount(ChangeAccountAct),
    /// An operator has a notification sent once more.
    ResendNotification(ResendAct),
    /// Somebody set, in an owner's place, what the owner is told.
    SetPreferences(SetPreferencesAct),
}

/// Accounts that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenAccountsAct {
    /// At most [`ACT_ACCOUNTS_MAX`]; a larger request leaves several acts.
    pub accounts: Vec<Uuid>,
}

/// A change of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeAccountAct {
    /// The account.
    pub account: Uuid,
    /// What was changed.
    pub change: AccountChangeKind,
    /// The new credit limit in minor units, as decimal text, where that was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit_limit_minor: Option<String>,
}

/// What can be changed of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountChangeKind {
    /// Nothing moves but what releases holds and refunds.
    Freeze,
    /// Open again.
    Reopen,
    /// Nothing moves.
    Close,
    /// Another overdraft.
    SetCreditLimit,
}

/// A notification that is sent once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResendAct {
    /// Its number.
    pub notification: u64,
    /// The payment that it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<Uuid>,
    /// The account that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Uuid>,
}

/// Preferences that somebody set for an owner. What they are is the owner's own business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetPreferencesAct {
    /// The owner.
    pub owner: Uuid,
}

/// An event in the quarantine of a sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantinedEvent {
    /// The sink.
    pub sink: String,
    /// The event's place in the journal.
    pub event: u64,
    /// The payment that it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<Uuid>,
    /// The account that it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Uuid>,
}

/// A sink that is built anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RebuildAct {
    /// The sink.
    pub sink: String,
    /// The audit log may come to another root than was signed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_other_root: bool,
    /// When it was done, in nanoseconds since the Unix epoch, where that was before it was journaled:
    /// while millrace was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at_ns: Option<u64>,
}

/// A key that was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateKeyAct {
    /// The public key that signed until now.
    pub old_key: String,
    /// The public key that signs from now on.
    pub new_key: String,
    /// Entries that the old key has signed.
    pub tree_size: u64,
    /// As of [`RebuildAct::done_at_ns`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at_ns: Option<u64>,
}

/// What was put on the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadKind {
    /// A policy document.
    Policy,
    /// A rule file.
    Rules,
    /// The values of a list.
    List,
    /// A model.
    Model,
}

impl UploadKind {
    /// As it stands in the act.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Rules => "rules",
            Self::List => "list",
            Self::Model => "model",
        }
    }
}

/// A label, with all that profiles need of the payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelAct {
    /// The payment.
    pub payment: Uuid,
    /// Whether it was fraud.
    pub fraud: bool,
    /// When it was paid, in nanoseconds since the Unix epoch.
    pub paid_at_ns: u64,
    /// When this became known, in nanoseconds since the Unix epoch; with its batch if not said. Labels
    /// of the past are brought in after their payments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_at_ns: Option<u64>,
    /// The report before this one said that it was fraud, and this one takes that back: what profiles
    /// counted for it is to be taken out again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub takes_back: bool,
    /// Minor units.
    pub amount_minor: u64,
    /// Numeric currency code.
    pub ledger: u32,
    /// The account that paid.
    pub payer: Uuid,
    /// The account that received.
    pub payee: Uuid,
    /// Its encoded `millrace.v1.PaymentContext`, in hexadecimal; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub context: String,
}

impl LabelAct {
    /// When it became known: not before the payment, and never ahead of the batch that tells it.
    #[must_use]
    pub fn known_at(&self, batch: Timestamp) -> Timestamp {
        let told = self.known_at_ns.map_or(batch, |told| Timestamp(told.max(self.paid_at_ns)));
        told.min(batch)
    }
}

/// Why an act can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the act is none that this millrace knows: {0}")]
pub struct ActError(pub String);

impl Act {
    /// Reads an act.
    ///
    /// # Errors
    /// When it is too long, or says something else.
    pub fn read(bytes: &[u8]) -> Result<Self, ActError> {
        if bytes.len() > ACT_LEN_MAX {
            return Err(ActError(format!(
                "it has {} bytes, of {ACT_LEN_MAX} at most",
                bytes.len()
            )));
        }
        serde_json::from_slice(bytes).map_err(|error| ActError(error.to_string()))
    }

    /// The act as the journal keeps it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and numbers become JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(known_at_ns: Option<u64>) -> LabelAct {
        LabelAct {
            payment: Uuid::from_u128(1),
            fraud: true,
            paid_at_ns: 100,
            known_at_ns,
            takes_back: false,
            amount_minor: 5,
            ledger: 978,
            payer: Uuid::from_u128(2),
            payee: Uuid::from_u128(3),
            context: String::new(),
        }
    }

    #[test]
    fn a_label_is_known_between_its_payment_and_its_batch() {
        for (told, known) in
            [(None, 900), (Some(500), 500), (Some(50), 100), (Some(1_000), 900), (Some(900), 900)]
        {
            assert_eq!(label(told).known_at(Timestamp(900)), Timestamp(known), "{told:?}");
        }
        // A payment can't be ahead of its batch; if a journal says so, the batch has the word.
        assert_eq!(label(Some(5)).known_at(Timestamp(60)), Timestamp(60));
    }

    /// Labels as journals of earlier releases have them.
    #[test]
    fn acts_of_earlier_releases_are_read() {
        let written = br#"{"actor":"ann","why":"chargeback","act":{"label":{"payment":
            "00000000-0000-0000-0000-000000000001","fraud":true,"paid_at_ns":100,"amount_minor":5,
            "ledger":978,"payer":"00000000-0000-0000-0000-000000000002",
            "payee":"00000000-0000-0000-0000-000000000003"}}}"#;
        let read = Act::read(written).expect("it was right");
        assert_eq!(read.act, ActKind::Label(label(None)));
        let bytes = read.to_bytes();
        let again = String::from_utf8_lossy(&bytes);
        assert!(!again.contains("known_at") && !again.contains("takes_back"), "{again}");
    }

    fn changed(change: AccountChangeKind, credit_limit_minor: Option<&str>) -> ActKind {
        let credit_limit_minor = credit_limit_minor.map(str::to_owned);
        let account = Uuid::from_u128(1);
        ActKind::ChangeAccount(ChangeAccountAct { account, change, credit_limit_minor })
    }

    fn said_of(change: &str) -> String {
        let account = r#""account":"00000000-0000-0000-0000-000000000001""#;
        format!(r#"{{"change_account":{{{account},"change":{change}}}}}"#)
    }

    #[test]
    fn a_policy_is_set_with_the_features_that_it_demands() {
        for (features, text) in [
            (vec![], r#"{"set_policy":{"policy":"ab"}}"#),
            (
                vec!["payer.count_1h".to_owned()],
                r#"{"set_policy":{"policy":"ab","features":["payer.count_1h"]}}"#,
            ),
        ] {
            let act = ActKind::SetPolicy { policy: "ab".to_owned(), features };
            let act = Act { actor: "ann".to_owned(), why: "why".to_owned(), act };
            let whole = format!(r#"{{"actor":"ann","why":"why","act":{text}}}"#);
            assert_eq!(String::from_utf8_lossy(&act.to_bytes()), whole);
            assert_eq!(Act::read(whole.as_bytes()), Ok(act));
        }
    }

    #[test]
    fn an_act_of_as_many_accounts_as_may_be_is_not_too_long() {
        let accounts = vec![Uuid::from_u128(1); ACT_ACCOUNTS_MAX];
        // Each character takes two bytes in JSON.
        let (actor, why) = ("\"".repeat(200), "\\".repeat(1_000));
        let act = Act { actor, why, act: ActKind::OpenAccounts(OpenAccountsAct { accounts }) };
        assert!(act.to_bytes().len() <= ACT_LEN_MAX);
    }

    /// What operators do to sinks, accounts and notifications, as journals and audit logs have it.
    #[test]
    fn acts_of_operators_are_written_so() {
        let event = QuarantinedEvent {
            sink: "notify".to_owned(),
            event: 39,
            payment: Some(Uuid::from_u128(1)),
            account: None,
        };
        let rebuilt =
            RebuildAct { sink: "audit".to_owned(), accept_other_root: false, done_at_ns: None };
        let whole = RebuildAct { accept_other_root: true, done_at_ns: Some(7), ..rebuilt.clone() };
        let named =
            r#"{"sink":"notify","event":39,"payment":"00000000-0000-0000-0000-000000000001"}"#;
        for (act, text) in [
            (ActKind::ReplayEvent(event.clone()), format!(r#"{{"replay_event":{named}}}"#)),
            (ActKind::DropEvent(event), format!(r#"{{"drop_event":{named}}}"#)),
            (ActKind::RebuildSink(rebuilt), r#"{"rebuild_sink":{"sink":"audit"}}"#.to_owned()),
            (
                ActKind::RebuildSink(whole),
                r#"{"rebuild_sink":{"sink":"audit","accept_other_root":true,"done_at_ns":7}}"#
                    .to_owned(),
            ),
            (
                ActKind::OpenAccounts(OpenAccountsAct { accounts: vec![Uuid::from_u128(1)] }),
                r#"{"open_accounts":{"accounts":["00000000-0000-0000-0000-000000000001"]}}"#
                    .to_owned(),
            ),
            (changed(AccountChangeKind::Freeze, None), said_of(r#""freeze""#)),
            (changed(AccountChangeKind::Reopen, None), said_of(r#""reopen""#)),
            (changed(AccountChangeKind::Close, None), said_of(r#""close""#)),
            (
                changed(AccountChangeKind::SetCreditLimit, Some("500")),
                said_of(r#""set_credit_limit","credit_limit_minor":"500""#),
            ),
            (
                ActKind::ResendNotification(ResendAct {
                    notification: 7,
                    payment: None,
                    account: Some(Uuid::from_u128(1)),
                }),
                r#"{"resend_notification":{"notification":7,"account":"00000000-0000-0000-0000-000000000001"}}"#
                    .to_owned(),
            ),
            (
                ActKind::SetPreferences(SetPreferencesAct { owner: Uuid::from_u128(1) }),
                r#"{"set_preferences":{"owner":"00000000-0000-0000-0000-000000000001"}}"#.to_owned(),
            ),
            (
                ActKind::RotateAuditKey(RotateKeyAct {
                    old_key: "log+1+A".to_owned(),
                    new_key: "log+2+B".to_owned(),
                    tree_size: 77,
                    done_at_ns: None,
                }),
                r#"{"rotate_audit_key":{"old_key":"log+1+A","new_key":"log+2+B","tree_size":77}}"#
                    .to_owned(),
            ),
        ] {
            let act = Act { actor: "ann".to_owned(), why: "why".to_owned(), act };
            let whole = format!(r#"{{"actor":"ann","why":"why","act":{text}}}"#);
            assert_eq!(String::from_utf8_lossy(&act.to_bytes()), whole);
            assert_eq!(Act::read(whole.as_bytes()), Ok(act));
        }
    }

    #[test]
    fn an_upload_reads_back() {
        let act = ActKind::Upload {
            kind: UploadKind::Model,
            artefact: "ab".repeat(32),
            title: "march.mrm".to_owned(),
            size_bytes: 7,
        };
        let act = Act { actor: "ann".to_owned(), why: "the March model".to_owned(), act };
        let text = String::from_utf8(act.to_bytes()).expect("is JSON");
        assert!(text.contains(r#""upload":{"kind":"model","artefact":"abab"#), "{text}");
        assert_eq!(Act::read(text.as_bytes()), Ok(act));
    }
}
