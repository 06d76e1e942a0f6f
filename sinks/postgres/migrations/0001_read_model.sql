-- The read model, in the schema that the session's search_path names: a rebuild makes it beside the
-- one that serves. Rows of payments never change: what later events change of a payment is in
-- payment_ids, and of a hold also in holds.

CREATE TABLE sink_cursor (
    sink        text        PRIMARY KEY,
    next_seq    bigint      NOT NULL,
    batch_time  timestamptz NOT NULL,
    batch_ns    smallint    NOT NULL,
    kept_from   bigint      NOT NULL DEFAULT 1,
    written_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE sink_cursor IS 'Where the sink is in the journal. Written in the transaction that writes the rows.';
COMMENT ON COLUMN sink_cursor.sink IS 'Which sink.';
COMMENT ON COLUMN sink_cursor.next_seq IS 'Position of the first event that is not in the tables yet.';
COMMENT ON COLUMN sink_cursor.batch_time IS 'Time of the batch of the last event that is in the tables.';
COMMENT ON COLUMN sink_cursor.batch_ns IS 'Nanoseconds beyond the microsecond of batch_time.';
COMMENT ON COLUMN sink_cursor.kept_from IS 'Position of the first event whose payment retention has not dropped.';
COMMENT ON COLUMN sink_cursor.written_at IS 'When the sink last committed, by the clock of the database.';

CREATE TABLE ledgers (
    ledger    bigint   PRIMARY KEY,
    currency  text     NOT NULL COLLATE "C",
    digits    smallint NOT NULL
);
COMMENT ON TABLE ledgers IS 'The ledgers that payments and accounts name, one per currency.';
COMMENT ON COLUMN ledgers.ledger IS 'The ISO 4217 number of the currency; any number that a refused payment named.';
COMMENT ON COLUMN ledgers.currency IS 'Three letters of ISO 4217; the number where it knows none.';
COMMENT ON COLUMN ledgers.digits IS 'Decimal digits of the minor unit: 2 for cents, 0 for yen.';

CREATE TABLE payments (
    event_seq               bigint      NOT NULL,
    decided_at              timestamptz NOT NULL,
    ledger                  bigint      NOT NULL,
    timeout_seconds         bigint,
    payment_id              uuid        NOT NULL,
    debit_account           uuid,
    credit_account          uuid,
    original_id             uuid,
    code                    integer     NOT NULL,
    decided_ns              smallint    NOT NULL,
    flags                   smallint    NOT NULL,
    operation               text        NOT NULL COLLATE "C",
    status                  text        NOT NULL COLLATE "C",
    reject_reason           text        COLLATE "C",
    currency                text        NOT NULL COLLATE "C",
    amount_minor            numeric     NOT NULL,
    amount                  numeric     NOT NULL,
    requested_minor         numeric,
    risk_decision           text        NOT NULL COLLATE "C",
    risk_rule               text        COLLATE "C",
    risk_score              real,
    channel                 text        COLLATE "C",
    country_code            text        COLLATE "C",
    merchant_category_code  text        COLLATE "C",
    reference               text        COLLATE "C",
    device_id               text        COLLATE "C",
    ip_address              text        COLLATE "C",
    event_time              timestamptz,
    debit_debits_pending    numeric,
    debit_debits_posted     numeric,
    debit_credits_pending   numeric,
    debit_credits_posted    numeric,
    credit_debits_pending   numeric,
    credit_debits_posted    numeric,
    credit_credits_pending  numeric,
    credit_credits_posted   numeric,
    evidence                bytea,
    context                 bytea,
    PRIMARY KEY (decided_at, event_seq)
) PARTITION BY RANGE (decided_at);
COMMENT ON TABLE payments IS 'Every decided payment, accepted or refused, one row each, by month. Rows never change; millrace.payment_overview shows how each stands now.';
COMMENT ON COLUMN payments.event_seq IS 'Position in the journal: dense over all events, and the order of everything.';
COMMENT ON COLUMN payments.decided_at IS 'When it was decided: the time of its batch, which never goes back.';
COMMENT ON COLUMN payments.ledger IS 'The ledger that it names: the ISO 4217 number of the currency.';
COMMENT ON COLUMN payments.timeout_seconds IS 'Seconds until the hold expires; null is never.';
COMMENT ON COLUMN payments.payment_id IS 'The id that the upstream gave it.';
COMMENT ON COLUMN payments.debit_account IS 'The account that pays; null where a refused payment does not name it.';
COMMENT ON COLUMN payments.credit_account IS 'The account that receives; null where a refused payment does not name it.';
COMMENT ON COLUMN payments.original_id IS 'The hold that it captures or voids, or the payment that it refunds.';
COMMENT ON COLUMN payments.code IS 'Why the money moves: a number of the caller''s own.';
COMMENT ON COLUMN payments.decided_ns IS 'Nanoseconds beyond the microsecond of decided_at.';
COMMENT ON COLUMN payments.flags IS 'Sum of 1 (linked with the next payment), 2 (balancing debit), 4 (balancing credit).';
COMMENT ON COLUMN payments.operation IS 'What it does: pay, authorize, capture, void, refund.';
COMMENT ON COLUMN payments.status IS 'What became of it: settled, held, voided (it released a hold), rejected.';
COMMENT ON COLUMN payments.reject_reason IS 'Why it was refused, as millrace.v1.RejectReason in lower case; null where it was not.';
COMMENT ON COLUMN payments.currency IS 'Three letters of ISO 4217; the number of the ledger where it knows none.';
COMMENT ON COLUMN payments.amount_minor IS 'What moved, was reserved, or was released, in minor units (haler, cent, yen); 0 where refused.';
COMMENT ON COLUMN payments.amount IS 'The same in units of the currency, with all of its digits.';
COMMENT ON COLUMN payments.requested_minor IS 'What was asked for, in minor units; null is "all that is left".';
COMMENT ON COLUMN payments.risk_decision IS 'What risk said: not_judged, approve, review, decline, challenge.';
COMMENT ON COLUMN payments.risk_rule IS 'The limit or rule that decided; null where none did.';
COMMENT ON COLUMN payments.risk_score IS 'The calibrated score, 0 to 1; null where no model judged.';
COMMENT ON COLUMN payments.channel IS 'How it was made: card_present, card_not_present, transfer, standing_order, direct_debit, cash, internal; null where not said.';
COMMENT ON COLUMN payments.country_code IS 'ISO 3166-1 alpha-2.';
COMMENT ON COLUMN payments.merchant_category_code IS 'ISO 18245, four digits.';
COMMENT ON COLUMN payments.reference IS 'Text for people.';
COMMENT ON COLUMN payments.device_id IS 'The payer''s device.';
COMMENT ON COLUMN payments.ip_address IS 'IPv4 or IPv6.';
COMMENT ON COLUMN payments.event_time IS 'When it happened at its origin, as the upstream said.';
COMMENT ON COLUMN payments.debit_debits_pending IS 'The paying account right after it: debits that holds reserve, minor units. Null where not both accounts are known.';
COMMENT ON COLUMN payments.debit_debits_posted IS 'The paying account right after it: debits that happened, minor units.';
COMMENT ON COLUMN payments.debit_credits_pending IS 'The paying account right after it: credits that holds announce, minor units.';
COMMENT ON COLUMN payments.debit_credits_posted IS 'The paying account right after it: credits that happened, minor units.';
COMMENT ON COLUMN payments.credit_debits_pending IS 'The receiving account right after it: debits that holds reserve, minor units.';
COMMENT ON COLUMN payments.credit_debits_posted IS 'The receiving account right after it: debits that happened, minor units.';
COMMENT ON COLUMN payments.credit_credits_pending IS 'The receiving account right after it: credits that holds announce, minor units.';
COMMENT ON COLUMN payments.credit_credits_posted IS 'The receiving account right after it: credits that happened, minor units.';
COMMENT ON COLUMN payments.evidence IS 'What risk has to say of it (score, versions, reasons), as in the journal.';
COMMENT ON COLUMN payments.context IS 'The context as it came (millrace.v1.PaymentContext), where the columns do not hold all of it.';

-- By position: pages of all payments.
CREATE INDEX payments_event_seq ON payments (event_seq);
-- Both sides of an account, newest first; also its balances as of any event.
CREATE INDEX payments_debit ON payments (debit_account, event_seq);
CREATE INDEX payments_credit ON payments (credit_account, event_seq);
-- By a hash: an entry of text is three times as large, and as slow to add.
CREATE INDEX payments_reference ON payments (hashtextextended(reference, 0), event_seq)
    WHERE reference IS NOT NULL;
-- Only what is rare: the many settled payments are found by position.
CREATE INDEX payments_status ON payments (status, event_seq)
    WHERE status <> 'settled';
CREATE INDEX payments_reject_reason ON payments (reject_reason, event_seq)
    WHERE reject_reason IS NOT NULL;
CREATE INDEX payments_risk ON payments (risk_decision, event_seq)
    WHERE risk_decision NOT IN ('approve', 'not_judged');
CREATE INDEX payments_original ON payments (original_id, event_seq)
    WHERE original_id IS NOT NULL;

CREATE TABLE payment_ids (
    event_seq        bigint      NOT NULL,
    decided_at       timestamptz NOT NULL,
    payment_id       uuid        NOT NULL,
    state            text        NOT NULL COLLATE "C",
    remaining_minor  numeric     NOT NULL,
    released_minor   numeric     NOT NULL,
    PRIMARY KEY (payment_id)
) WITH (fillfactor = 90);
COMMENT ON TABLE payment_ids IS 'Where the payment with an id is, in whichever month, and how it stands now. Refusals that left the id free are in free_refusals.';
COMMENT ON COLUMN payment_ids.event_seq IS 'Position of the payment in the journal.';
COMMENT ON COLUMN payment_ids.decided_at IS 'When it was decided: names the month in which its row is.';
COMMENT ON COLUMN payment_ids.payment_id IS 'The id that the upstream gave it.';
COMMENT ON COLUMN payment_ids.state IS 'refused, settled, released (a void), hold_open, hold_captured, hold_voided, hold_expired.';
COMMENT ON COLUMN payment_ids.remaining_minor IS 'Minor units left to capture (a hold) or to refund (a settled payment).';
COMMENT ON COLUMN payment_ids.released_minor IS 'Minor units of a hold that were released.';

CREATE TABLE free_refusals (
    event_seq   bigint      NOT NULL,
    decided_at  timestamptz NOT NULL,
    payment_id  uuid        NOT NULL PRIMARY KEY
);
COMMENT ON TABLE free_refusals IS 'The last refusal of each id that refusals for their form left free. Counts only while payment_ids does not have the id.';
COMMENT ON COLUMN free_refusals.event_seq IS 'Position of the refusal in the journal.';
COMMENT ON COLUMN free_refusals.decided_at IS 'When it was refused: names the month in which its row is.';
COMMENT ON COLUMN free_refusals.payment_id IS 'The id that it would have had.';

CREATE TABLE accounts (
    opened_seq       bigint      NOT NULL,
    opened_at        timestamptz NOT NULL,
    balances_seq     bigint      NOT NULL,
    ledger           bigint      NOT NULL,
    tenant           bigint      NOT NULL,
    account_id       uuid        NOT NULL PRIMARY KEY,
    owner_id         uuid,
    code             integer     NOT NULL,
    opened_ns        smallint    NOT NULL,
    flags            smallint    NOT NULL,
    state            text        NOT NULL COLLATE "C",
    currency         text        NOT NULL COLLATE "C",
    credit_limit     numeric     NOT NULL,
    debits_pending   numeric     NOT NULL,
    debits_posted    numeric     NOT NULL,
    credits_pending  numeric     NOT NULL,
    credits_posted   numeric     NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE accounts IS 'Every account with its balances, in minor units.';
COMMENT ON COLUMN accounts.opened_seq IS 'Position of the event that opened it.';
COMMENT ON COLUMN accounts.opened_at IS 'When it was opened.';
COMMENT ON COLUMN accounts.balances_seq IS 'Position of the event after which the balances hold.';
COMMENT ON COLUMN accounts.ledger IS 'The ledger: the ISO 4217 number of the currency.';
COMMENT ON COLUMN accounts.tenant IS 'Whose account it is, in an installation that serves several.';
COMMENT ON COLUMN accounts.account_id IS 'Its id.';
COMMENT ON COLUMN accounts.owner_id IS 'Who owns it; null where nobody is named.';
COMMENT ON COLUMN accounts.code IS 'Its place in the chart of accounts.';
COMMENT ON COLUMN accounts.opened_ns IS 'Nanoseconds beyond the microsecond of opened_at.';
COMMENT ON COLUMN accounts.flags IS 'Sum of 1 (debits must not exceed credits), 2 (credits must not exceed debits), 4 (keeps its history).';
COMMENT ON COLUMN accounts.state IS 'open, frozen, closed.';
COMMENT ON COLUMN accounts.currency IS 'Three letters of ISO 4217; the number of the ledger where it knows none.';
COMMENT ON COLUMN accounts.credit_limit IS 'Overdraft allowed on the limited side, minor units.';
COMMENT ON COLUMN accounts.debits_pending IS 'Debits that holds reserve, minor units.';
COMMENT ON COLUMN accounts.debits_posted IS 'Debits that happened, minor units.';
COMMENT ON COLUMN accounts.credits_pending IS 'Credits that holds announce, minor units. They are not yet funds.';
COMMENT ON COLUMN accounts.credits_posted IS 'Credits that happened, minor units.';

CREATE TABLE holds (
    event_seq        bigint      NOT NULL PRIMARY KEY,
    held_at          timestamptz NOT NULL,
    expires_at       timestamptz,
    ledger           bigint      NOT NULL,
    payment_id       uuid        NOT NULL,
    debit_account    uuid,
    credit_account   uuid,
    kind             text        NOT NULL COLLATE "C",
    state            text        NOT NULL COLLATE "C",
    currency         text        NOT NULL COLLATE "C",
    amount_minor     numeric     NOT NULL,
    remaining_minor  numeric     NOT NULL,
    released_minor   numeric     NOT NULL
) WITH (fillfactor = 80);
COMMENT ON TABLE holds IS 'Every hold and how it stands now. What was captured is amount_minor - remaining_minor - released_minor.';
COMMENT ON COLUMN holds.event_seq IS 'Position in the journal at which it began.';
COMMENT ON COLUMN holds.held_at IS 'When it began.';
COMMENT ON COLUMN holds.expires_at IS 'When what is left of it is released; null where it names no time-out.';
COMMENT ON COLUMN holds.ledger IS 'The ledger: the ISO 4217 number of the currency.';
COMMENT ON COLUMN holds.payment_id IS 'The payment that holds the money.';
COMMENT ON COLUMN holds.debit_account IS 'The account that would pay.';
COMMENT ON COLUMN holds.credit_account IS 'The account that would receive.';
COMMENT ON COLUMN holds.kind IS 'Why it is held: authorized, review, challenge.';
COMMENT ON COLUMN holds.state IS 'hold_open, hold_captured, hold_voided, hold_expired.';
COMMENT ON COLUMN holds.currency IS 'Three letters of ISO 4217; the number of the ledger where it knows none.';
COMMENT ON COLUMN holds.amount_minor IS 'Minor units that it held at first.';
COMMENT ON COLUMN holds.remaining_minor IS 'Minor units left to capture.';
COMMENT ON COLUMN holds.released_minor IS 'Minor units that a void or the time-out released.';
CREATE INDEX holds_open ON holds (event_seq) WHERE state = 'hold_open';
CREATE INDEX holds_open_debit ON holds (debit_account, event_seq) WHERE state = 'hold_open';
CREATE INDEX holds_open_credit ON holds (credit_account, event_seq) WHERE state = 'hold_open';

CREATE TABLE expiries (
    event_seq               bigint      NOT NULL PRIMARY KEY,
    expired_at              timestamptz NOT NULL,
    hold_seq                bigint      NOT NULL,
    held_at                 timestamptz NOT NULL,
    payment_id              uuid        NOT NULL,
    debit_account           uuid        NOT NULL,
    credit_account          uuid        NOT NULL,
    expired_ns              smallint    NOT NULL,
    released_minor          numeric     NOT NULL,
    debit_debits_pending    numeric     NOT NULL,
    debit_debits_posted     numeric     NOT NULL,
    debit_credits_pending   numeric     NOT NULL,
    debit_credits_posted    numeric     NOT NULL,
    credit_debits_pending   numeric     NOT NULL,
    credit_debits_posted    numeric     NOT NULL,
    credit_credits_pending  numeric     NOT NULL,
    credit_credits_posted   numeric     NOT NULL
);
COMMENT ON TABLE expiries IS 'Holds of which the time-out released what was left.';
COMMENT ON COLUMN expiries.event_seq IS 'Position of the expiry in the journal.';
COMMENT ON COLUMN expiries.expired_at IS 'When it expired: the time of its batch.';
COMMENT ON COLUMN expiries.hold_seq IS 'Position at which the hold began.';
COMMENT ON COLUMN expiries.held_at IS 'When the hold began.';
COMMENT ON COLUMN expiries.payment_id IS 'The payment that held the money.';
COMMENT ON COLUMN expiries.debit_account IS 'The account that would have paid.';
COMMENT ON COLUMN expiries.credit_account IS 'The account that would have received.';
COMMENT ON COLUMN expiries.expired_ns IS 'Nanoseconds beyond the microsecond of expired_at.';
COMMENT ON COLUMN expiries.released_minor IS 'Minor units released.';
COMMENT ON COLUMN expiries.debit_debits_pending IS 'The account that would have paid, right after it: debits that holds reserve, minor units.';
COMMENT ON COLUMN expiries.debit_debits_posted IS 'The account that would have paid, right after it: debits that happened, minor units.';
COMMENT ON COLUMN expiries.debit_credits_pending IS 'The account that would have paid, right after it: credits that holds announce, minor units.';
COMMENT ON COLUMN expiries.debit_credits_posted IS 'The account that would have paid, right after it: credits that happened, minor units.';
COMMENT ON COLUMN expiries.credit_debits_pending IS 'The account that would have received, right after it: debits that holds reserve, minor units.';
COMMENT ON COLUMN expiries.credit_debits_posted IS 'The account that would have received, right after it: debits that happened, minor units.';
COMMENT ON COLUMN expiries.credit_credits_pending IS 'The account that would have received, right after it: credits that holds announce, minor units.';
COMMENT ON COLUMN expiries.credit_credits_posted IS 'The account that would have received, right after it: credits that happened, minor units.';
CREATE INDEX expiries_debit ON expiries (debit_account, event_seq);
CREATE INDEX expiries_credit ON expiries (credit_account, event_seq);

CREATE TABLE totals (
    hour       timestamptz NOT NULL,
    ledger     bigint      NOT NULL,
    status     text        NOT NULL COLLATE "C",
    payments   bigint      NOT NULL,
    sum_minor  numeric     NOT NULL,
    PRIMARY KEY (ledger, hour, status)
) WITH (fillfactor = 50);
COMMENT ON TABLE totals IS 'Counts and sums of payments by hour, ledger and status, kept with every batch. They outlive payments that retention drops.';
COMMENT ON COLUMN totals.hour IS 'When the hour begins, UTC.';
COMMENT ON COLUMN totals.ledger IS 'The ledger that the payments name.';
COMMENT ON COLUMN totals.status IS 'settled, held, voided, rejected.';
COMMENT ON COLUMN totals.payments IS 'How many payments.';
COMMENT ON COLUMN totals.sum_minor IS 'Sum of their amount_minor.';

CREATE VIEW payment_overview AS
SELECT
    p.decided_at,
    p.payment_id,
    p.operation,
    p.status,
    p.reject_reason,
    p.amount,
    p.currency,
    p.debit_account,
    p.credit_account,
    CASE WHEN p.status = 'held' THEN replace(i.state, 'hold_', '') END AS hold_state,
    CASE WHEN p.status IN ('settled', 'held') AND p.operation <> 'refund'
         THEN round(i.remaining_minor / 10::numeric ^ l.digits, l.digits) END AS remaining_amount,
    p.risk_decision,
    p.risk_rule,
    p.risk_score,
    p.channel,
    p.country_code,
    p.reference,
    p.original_id,
    (p.flags & 1) <> 0 AS linked,
    p.event_seq
FROM payments p
LEFT JOIN payment_ids i ON i.payment_id = p.payment_id AND i.event_seq = p.event_seq
LEFT JOIN ledgers l ON l.ledger = p.ledger;
COMMENT ON VIEW payment_overview IS 'For people: every payment as it stands now. Name a time or an id, so that it is quick.';
COMMENT ON COLUMN payment_overview.hold_state IS 'Of a hold: open, captured, voided, expired.';
COMMENT ON COLUMN payment_overview.remaining_amount IS 'What is left to capture (a hold) or to refund (a settled payment), in units of the currency.';
COMMENT ON COLUMN payment_overview.linked IS 'Succeeded or failed together with the payment behind it.';

CREATE VIEW account_overview AS
SELECT
    a.account_id,
    a.owner_id,
    a.state,
    a.currency,
    round((a.credits_posted - a.debits_posted) / 10::numeric ^ l.digits, l.digits) AS balance,
    round(a.debits_pending / 10::numeric ^ l.digits, l.digits) AS reserved,
    round(a.credits_pending / 10::numeric ^ l.digits, l.digits) AS announced,
    round(a.credit_limit / 10::numeric ^ l.digits, l.digits) AS credit_limit,
    a.code,
    a.opened_at,
    a.balances_seq
FROM accounts a
LEFT JOIN ledgers l ON l.ledger = a.ledger;
COMMENT ON VIEW account_overview IS 'For people: every account, in units of its currency.';
COMMENT ON COLUMN account_overview.balance IS 'Posted credits less posted debits.';
COMMENT ON COLUMN account_overview.reserved IS 'Debits that holds reserve.';
COMMENT ON COLUMN account_overview.announced IS 'Credits that holds announce.';
