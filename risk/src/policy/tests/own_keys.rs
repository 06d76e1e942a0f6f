//! Keys of upstreams' own: a catalogue has entities of them, and rules name both.

use millrace_ledger::Contexts;

use super::*;

const CATALOGUE: &str = r#"
version = 1
[[entity]]
name = "payer"
[[entity]]
name = "wallet"
[[feature]]
name = "amount"
statistic = "amount"
[[feature]]
name = "wallet.payers_1d"
entity = "wallet"
statistic = "distinct"
of = "payer"
window = "1d"
form = "ring"
"#;
const RULES: &str = r#"
[[rule]]
name = "shared wallet"
when = "wallet.payers_1d > 3.5 and context.wallet != 'w-ours'"
action = "review"
reason = "{wallet.payers_1d} payers used {context.wallet}"

[[rule]]
name = "no wallet"
when = "is_missing(context.wallet)"
action = "block"
reason = "wallet {context.wallet}, device {context.device}"
"#;

/// One context for all payments of a request.
struct All<'a>(&'a [u8]);

impl Contexts for All<'_> {
    fn context(&self, _position: usize) -> &[u8] {
        self.0
    }
}

fn wallet(value: &str) -> Vec<u8> {
    let text = |tag: u8, text: &str| [&[tag << 3 | 2, text.len() as u8], text.as_bytes()].concat();
    let pair = [text(1, "wallet"), text(2, value)].concat();
    [&[8 << 3 | 2, pair.len() as u8], &pair[..]].concat()
}

fn pay(payer: u128) -> Payment {
    let (debit, credit) = (AccountId(payer), AccountId(2_000));
    Payment { debit, credit, amount: Amount(1_000), ledger: EUR, ..Payment::default() }
}

/// What is decided, and the reason.
fn decided(policy: &mut Policy, payer: u128, context: &[u8]) -> (RiskDecision, Option<String>) {
    let (payments, at) = ([pay(payer)], Timestamp(9 * S));
    policy.begin_request(1);
    let contexts = &All(context);
    policy.look_ahead(&Block { payments: &payments, positions: &[0], contexts, at });
    let [payment] = &payments;
    let judged = Judged { payment, amount: payment.amount, at, position: 0, payer: 0 };
    let decision = policy.judge(judged).decision;
    (decision, Evidence::read(policy.evidence(0)).and_then(|evidence| evidence.rule_reason))
}

#[test]
fn a_key_of_the_upstreams_own_is_an_entity_and_a_text() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let catalogue = Arc::new(Catalogue::parse(CATALOGUE).expect("right"));
    let library = Library::new(Shelf::new(directory.path()), catalogue);
    let rules = library.shelf().put(RULES.as_bytes()).expect("is written");
    let name = library
        .shelf()
        .put(format!("rules = \"{rules}\"\n{NO_BUDGET}").as_bytes())
        .expect("is written");
    let mut policy = policy_with(&library, 1);
    policy.act(&set_policy(&name), Timestamp(0)).expect("is right");
    let no_wallet = Some("wallet unknown, device unknown".to_owned());
    assert_eq!(decided(&mut policy, 1, &[]), (RiskDecision::Decline, no_wallet));
    for payer in 1..=3 {
        for context in [wallet("w-1"), wallet("w-ours")] {
            assert_eq!(decided(&mut policy, payer, &context).0, RiskDecision::Approve);
        }
    }
    let shared = Some("4.1 payers used w-1".to_owned());
    let mut replayed = policy_with(&library, 1);
    for payer in 1..=3 {
        for context in [wallet("w-1"), wallet("w-ours")] {
            replayed.attempted(&pay(payer), &context, Timestamp(9 * S));
        }
    }
    replayed.acted(&set_policy(&name), Timestamp(9 * S)).expect("can be read");
    replayed.recovered().expect("the policy is on the shelf");
    for policy in [&mut policy, &mut replayed] {
        assert_eq!(decided(policy, 4, &wallet("w-1")), (RiskDecision::Review, shared.clone()));
        assert_eq!(decided(policy, 4, &wallet("w-ours")).0, RiskDecision::Approve);
        assert_eq!(decided(policy, 5, &wallet("w-2")).0, RiskDecision::Approve);
    }
}
