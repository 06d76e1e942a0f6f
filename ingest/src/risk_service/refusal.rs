//! Refusals of what analysts ask for, as gRPC statuses: one list, one mapping. Each is a sentence
//! that says what to do, and carries a `google.rpc.ErrorInfo` with a stable reason.

use millrace_ledger::{HoldState, Operation, PaymentId};
use millrace_risk::{desk::Deed, shelf::ShelfError};
use tonic::{Code, Status};

use crate::status::with_reason;

/// Why something was not done.
#[derive(Debug)]
pub(crate) enum RiskRefusal {
    /// A field that must be set is not.
    FieldMissing { field: &'static str },
    /// A text is longer than the journal should keep.
    FieldTooLong { field: &'static str, bytes_max: usize },
    /// A text has characters that would spoil a terminal or a log.
    FieldMalformed { field: &'static str, what: &'static str },
    /// Risk never held the payment's money.
    NotUnderReview { what: String },
    /// The hold ended by itself, or by somebody else.
    ReviewClosed { hold: HoldState },
    /// It was resolved the other way.
    ReviewResolved { approved: bool },
    /// Somebody else has it.
    ReviewClaimed { claim: Deed },
    /// So many resolutions of one hold were refused.
    TooManyAttempts,
    /// Only what was judged can be reported.
    NotAPayment { operation: Operation, original: PaymentId },
    /// The gate did not carry out the act.
    ActRefused { what: String },
    /// The policy can't be used.
    PolicyRefused { what: String },
    /// Another policy is in force than the caller looked at.
    PolicyChanged { replaces: String, in_force: String },
    /// None was set.
    NoPolicy,
    /// The sink that keeps reviews is off.
    DeskOff,
    /// The sink that keeps reviews has not read all that was there at the start, or is far behind.
    DeskBehind { events: u64 },
    /// The sink's store can't be read.
    DeskFailed { what: String },
    /// The journal can't be read.
    JournalFailed { what: String },
    /// The artefact can't be kept or fetched.
    Shelf(ShelfError),
    /// An upload of more than its kind may have.
    ArtefactTooLarge { bytes_max: usize },
    /// An upload of a text that is none.
    ArtefactNotText,
    /// Several uploads are under way.
    UploadsBusy,
    /// Several downloads are under way.
    DownloadsBusy,
    /// Nothing came for a while.
    UploadStalled,
    /// A blocking task was given up.
    Stopped,
}

impl From<RiskRefusal> for Status {
    fn from(refusal: RiskRefusal) -> Self {
        use RiskRefusal as R;
        let (code, reason, message) = match refusal {
            R::FieldMissing { field } => (
                Code::InvalidArgument,
                "FIELD_MISSING",
                format!("{field} is not set; every change says who makes it and why"),
            ),
            R::FieldTooLong { field, bytes_max } => (
                Code::InvalidArgument,
                "FIELD_TOO_LONG",
                format!("{field} has more than {bytes_max} bytes; shorten it"),
            ),
            R::FieldMalformed { field, what } => {
                (Code::InvalidArgument, "FIELD_MALFORMED", format!("{field} {what}"))
            }
            R::NotUnderReview { what } => (
                Code::FailedPrecondition,
                "NOT_UNDER_REVIEW",
                format!("there is no review of this payment: {what}"),
            ),
            R::ReviewClosed { hold } => (
                Code::FailedPrecondition,
                "REVIEW_CLOSED",
                format!("the review is over: {}; nothing is left to decide", ended(hold)),
            ),
            R::ReviewResolved { approved } => (
                Code::FailedPrecondition,
                "REVIEW_RESOLVED",
                match approved {
                    true => {
                        "the review was approved already, and its money has moved; refund the \
                             payment to take that back"
                    }
                    false => {
                        "the review was declined already, and its money was released; the \
                              payer has to pay again"
                    }
                }
                .to_owned(),
            ),
            R::ReviewClaimed { claim } => (
                Code::FailedPrecondition,
                "REVIEW_CLAIMED",
                format!(
                    "{} has claimed the review ({}); ask them to release it, or force it",
                    claim.by, claim.why
                ),
            ),
            R::TooManyAttempts => (
                Code::FailedPrecondition,
                "TOO_MANY_ATTEMPTS",
                "the review was resolved 256 times, and each time the ledger refused; capture or \
                 void the payment with an id of your own"
                    .to_owned(),
            ),
            R::NotAPayment { operation, original } => (
                Code::FailedPrecondition,
                "NOT_A_PAYMENT",
                format!(
                    "it is a {} of the payment {original}: report that one",
                    format!("{operation:?}").to_lowercase()
                ),
            ),
            R::ActRefused { what } => (Code::FailedPrecondition, "ACT_REFUSED", what),
            R::PolicyRefused { what } => (
                Code::InvalidArgument,
                "POLICY_REFUSED",
                format!("the policy can't be used, and the one in force stays: {what}"),
            ),
            R::PolicyChanged { replaces, in_force } => (
                Code::FailedPrecondition,
                "POLICY_CHANGED",
                format!(
                    "{} was to be replaced, and {} is in force by now; nothing happened: look at it, \
                     and try again",
                    named(&replaces),
                    named(&in_force)
                ),
            ),
            R::NoPolicy => (
                Code::NotFound,
                "NO_POLICY",
                "no policy was set yet: the limits of the configuration decide".to_owned(),
            ),
            R::DeskOff => (
                Code::FailedPrecondition,
                "DESK_OFF",
                "this server keeps no reviews: set sinks.reviews.enabled to true, and start it \
                 again"
                    .to_owned(),
            ),
            R::DeskBehind { events } => (
                Code::Unavailable,
                "DESK_BEHIND",
                format!(
                    "the review desk has events of the journal still to read ({events}); nothing \
                     happened: try again in a moment"
                ),
            ),
            R::DeskFailed { what } => (Code::Internal, "DESK_FAILED", what),
            R::JournalFailed { what } => (Code::Internal, "JOURNAL_FAILED", what),
            R::Shelf(error) => (shelf_code(&error), "SHELF", error.to_string()),
            R::ArtefactTooLarge { bytes_max } => (
                Code::InvalidArgument,
                "ARTEFACT_TOO_LARGE",
                format!("an artefact of this kind may have {bytes_max} bytes; nothing was kept"),
            ),
            R::ArtefactNotText => (
                Code::InvalidArgument,
                "ARTEFACT_NOT_TEXT",
                "an artefact of this kind is text in UTF-8, and this one is not; nothing was kept"
                    .to_owned(),
            ),
            R::UploadsBusy => (
                Code::ResourceExhausted,
                "UPLOADS_BUSY",
                "other uploads are under way; nothing was kept: try again in a moment".to_owned(),
            ),
            R::DownloadsBusy => (
                Code::ResourceExhausted,
                "DOWNLOADS_BUSY",
                "other downloads are under way: try again in a moment".to_owned(),
            ),
            R::UploadStalled => (
                Code::DeadlineExceeded,
                "UPLOAD_STALLED",
                "nothing of the artefact came for a minute; nothing was kept: upload it again"
                    .to_owned(),
            ),
            R::Stopped => (
                Code::Unavailable,
                "ENGINE_STOPPED",
                "the server stopped; ask again to learn what became of it".to_owned(),
            ),
        };
        with_reason(code, reason, message)
    }
}

fn named(policy: &str) -> String {
    if policy.is_empty() { "no policy".to_owned() } else { format!("policy {policy}") }
}

fn ended(hold: HoldState) -> &'static str {
    match hold {
        HoldState::Open => "its hold is open",
        HoldState::Captured => "its money was captured",
        HoldState::Voided => "its money was released",
        HoldState::Expired => "its time ran out, and its money was released",
    }
}

fn shelf_code(error: &ShelfError) -> Code {
    match error {
        ShelfError::NoName { .. } => Code::InvalidArgument,
        ShelfError::Missing { .. } => Code::NotFound,
        ShelfError::Altered { .. } => Code::DataLoss,
        ShelfError::Io { .. } => Code::Internal,
    }
}
