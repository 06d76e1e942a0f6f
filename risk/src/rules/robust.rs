//! Nonsense: whatever stands in a rule, it is told, and nothing panics.

use millrace_ledger::Timestamp;

use super::{
    Lists, RuleError, RuleInput, RuleSet, Vocabulary, check::Scope, compile::compile_expression,
    emit::emit, parse::parse, source::Located,
};

const ROUNDS: usize = 100_000;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let number = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((number ^ (number >> 31)) >> 33) as usize % bound
    }
}

fn vocabulary() -> Vocabulary {
    let features = [("amount", "money"), ("payer.age", "days"), ("weekend", "flag")];
    Vocabulary::new(features, ["payer", "context.country"])
}

/// Either it compiles and runs, or it has a fault that can be shown.
fn try_out(text: &str, vocabulary: &Vocabulary) -> bool {
    let lists = Lists::new();
    let mut scope = Scope { vocabulary, lists: &lists, used: Vec::new(), doubts: Vec::new() };
    let mut faults = Vec::new();
    let compiled = compile_expression(text, &mut scope, &mut faults);
    assert_eq!(compiled.is_none(), !faults.is_empty(), "{text:?} {faults:?}");
    for fault in faults {
        let error = RuleError::within(text, None, &Located::alone(text), fault);
        assert!(error.to_string().contains('^'), "{text:?}");
        assert!(!error.help.is_empty(), "{text:?} {error}");
    }
    let Some((condition, _)) = compiled else { return false };
    let program = emit([(0, &condition)].into_iter(), &[]);
    let row = [f32::NAN, 2.0, 1.0];
    let input = RuleInput { row: &row, texts: &[None, Some("KP")], at: Timestamp(1) };
    program.run(&input, |_| false);
    true
}

#[test]
fn random_bytes_are_refused_in_words() {
    let (vocabulary, mut numbers) = (vocabulary(), Numbers(1));
    for _ in 0..ROUNDS {
        let bytes: Vec<u8> = (0..numbers.below(40)).map(|_| numbers.below(256) as u8).collect();
        try_out(&String::from_utf8_lossy(&bytes), &vocabulary);
    }
}

#[test]
fn random_words_compile_or_are_refused_in_words() {
    const WORDS: [&str; 40] = [
        "amount",
        "amount",
        "payer.age",
        "weekend",
        "payer",
        "context.country",
        "unknown",
        "min",
        "max",
        "abs",
        "coalesce",
        "is_missing",
        "and",
        "or",
        "not",
        "in",
        "true",
        "1",
        "2h",
        "5%",
        "\"KP\"",
        "'x",
        "1_0",
        "3x",
        "+",
        "-",
        "*",
        "/",
        "<",
        "==",
        "!=",
        "=",
        ">=",
        "(",
        ")",
        "[",
        "]",
        ",",
        "&&",
        "\u{2265}",
    ];
    let (vocabulary, mut numbers) = (vocabulary(), Numbers(2));
    let mut right = 0;
    for _ in 0..ROUNDS {
        let words: Vec<&str> =
            (0..=numbers.below(8)).map(|_| WORDS[numbers.below(WORDS.len())]).collect();
        right += usize::from(try_out(&words.join(" "), &vocabulary));
    }
    assert!(right > 500, "only {right} of the random expressions are right: the test tests little");
}

#[test]
fn random_files_are_refused_in_words() {
    const WORDS: [&str; 24] = [
        "[[rule]]",
        "[[rule]]",
        "\n",
        "\n",
        "\n",
        "name",
        "when",
        "action",
        "reason",
        "segment",
        "shadow",
        "=",
        "=",
        "=",
        "'amount > 1'",
        "\"a \\u00e9 \\\" b\"",
        "'block'",
        "true",
        "1",
        "'''\n'''",
        "[",
        "]",
        "{",
        "rule",
    ];
    let (vocabulary, lists, mut numbers) = (vocabulary(), Lists::new(), Numbers(3));
    for _ in 0..5_000 {
        let words: Vec<&str> =
            (0..numbers.below(30)).map(|_| WORDS[numbers.below(WORDS.len())]).collect();
        let file = words.join(" ");
        for error in RuleSet::compile(&file, &vocabulary, &lists).err().unwrap_or_default() {
            assert!(error.to_string().contains('^'), "{file:?}");
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    let open = |text: &str, times: usize| text.repeat(times);
    for text in [
        open("(", 10_000),
        open("(", 10_000) + "amount > 1" + &open(")", 10_000),
        open("not ", 10_000) + "weekend",
        open("-", 10_000) + "amount > 1",
        open("abs(", 10_000) + "amount" + &open(")", 10_000) + " > 1",
        open("amount + ", 10_000) + "1 > 2",
        open("(weekend and ", 10_000) + "weekend" + &open(")", 10_000),
    ] {
        let mut faults = Vec::new();
        parse(&text, &mut faults);
        let [fault] = faults.as_slice() else { panic!("{faults:?}") };
        assert!(fault.problem.contains("nested more than 32 levels deep"), "{fault:?}");
    }
    // As a rule it is too long, before anything else.
    assert!(!try_out(&open("(", 10_000), &vocabulary()));
    assert!(try_out(&(open("(", 32) + "weekend" + &open(")", 32)), &vocabulary()));
    assert!(!try_out(&(open("(", 33) + "weekend" + &open(")", 33)), &vocabulary()));
}
