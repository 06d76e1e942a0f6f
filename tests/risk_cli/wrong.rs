//! What is not right gets a sentence: consumes files, days and options that can't be used, produces
//! an exit code and what to do, and leaves no model.

use std::path::Path;

use crate::{
    TEST, TRAIN, bench,
    support::process::{Finished, millrace},
};

#[test]
fn what_is_not_right_gets_a_sentence() {
    let bench = bench();
    let (data, model) = (bench.file("payments.csv.gz"), bench.file("model.mrm"));
    let whole = bench.read_bytes("model.mrm");
    let cut = bench.write("cut.mrm", &whole[..whole.len() - 100]);
    let mut bytes = whole.clone();
    bytes[whole.len() / 2] ^= 1;
    let altered = bench.write("altered.mrm", &bytes);
    bytes = whole;
    bytes[8] = 9;
    let newer = bench.write("newer.mrm", &bytes);
    let text = bench.write("text.mrm", "hello");
    let header = "payment_id,time,customer,terminal,amount,is_fraud\n";
    let row = |day: u32, label: u32| format!("{day},2026-01-{day:02}T00:00:00Z,a,b,5.00,{label}\n");
    let unsorted = bench.write("unsorted.csv", format!("{header}{}{}", row(9, 0), row(3, 1)));
    let one_class = bench.write("one.csv", format!("{header}{}{}", row(3, 0), row(9, 0)));
    let nan = bench.write("nan.csv", format!("{header}1,2026-01-03T00:00:00Z,a,b,NaN,0\n"));
    let no_column = bench.write("column.csv", "time,customer,amount,is_fraud\n");
    let rules = bench.write("rules.toml", "[[rule]]\nname = \"a\"\nwhen = \"amout > 5\"\n");
    let list = bench.write("list.csv", "value,expires_at\na,tomorrow\n");
    let out = bench.file("never.mrm");
    let eval = |model: &str| -> Vec<String> {
        ["eval", "--model", model, "--data", &data, "--test", TEST].map(str::to_owned).to_vec()
    };
    let train = |data: &str, more: &[&str]| -> Vec<String> {
        let args = ["train", "--data", data, "--train", "2026-01-01..2026-01-20", "--out", &out];
        args.iter().chain(more).map(|arg| (*arg).to_owned()).collect()
    };
    let with =
        |args: &[&str]| -> Vec<String> { args.iter().map(|arg| (*arg).to_owned()).collect() };
    let cases = [
        (1, eval("nowhere.mrm"), "nowhere.mrm: can't be read"),
        (1, eval(&cut), "it was cut short or added to; copy it again"),
        (1, eval(&altered), "was altered"),
        (1, eval(&newer), "the model's format is version"),
        (1, eval(&text), "this is no model of Millrace"),
        (1, [eval(&model), with(&["--catalogue", "book"])].concat(), "the model needs the feature"),
        (
            1,
            with(&["eval", "--model", &model, "--data", &data, "--test", "2030-01-01..2030-01-02"]),
            "no payments from 2030-01-01..2030-01-02; the data spans 2026-01-01..2026-02-19",
        ),
        (
            2,
            with(&["eval", "--model", &model, "--data", &data, "--test", "2026-02-30"]),
            "is not a day between 1970 and 2554; write it as 2018-07-25",
        ),
        (1, with(&["eval", "--model", &model, "--test", TEST]), "name a file with --data"),
        (1, train(&unsorted, &[]), "add --sort"),
        (1, train(&one_class, &[]), "both fraud and legitimate payments are needed"),
        (1, train(&nan, &[]), "line 2, column amount: \"NaN\""),
        (1, train(&no_column, &[]), "no column for payee"),
        (1, train(&no_column, &[]), "or map it with --columns ROLE=HEADER"),
        (1, train(&data, &["--trees", "5"]), "--trees is no setting of blend"),
        (
            1,
            train(&data, &["--algorithm", "boosting", "--trees", "0"]),
            "trees is 0: it must be 1 to 5000",
        ),
        (1, train(&data, &["--catalogue", "mine.toml"]), "name a file, book, standard or devices"),
        (1, with(&["rules", "check", &rules]), "line 3, column 9"),
        (1, with(&["rules", "check", &rules]), "did you mean"),
        (2, with(&["rules", "check", &rules, "--list", "x"]), "write NAME:KIND=FILE"),
        (1, with(&["lists", "check", &list]), "line 2, column 2 (expires_at)"),
        (
            1,
            with(&["backtest", "--model", &model, "--data", &data, "--review-at", "3"]),
            "a score is a probability of 0 to 1",
        ),
        (
            1,
            with(&[
                "explain",
                "--model",
                &model,
                "--data",
                &data,
                "--test",
                TEST,
                "--payment",
                "none",
            ]),
            "no payment of 2026-02-08..2026-02-19 has the id none",
        ),
        (
            1,
            with(&["tune", "--model", &model, "--data", &data, "--test", TEST, "--cost-review=-1"]),
            "the cost of a review is -1; it must be 0 or more",
        ),
        (
            1,
            with(&["drift", "--journal", "/nowhere", "--before", TRAIN, "--now", TEST]),
            "there is no journal in /nowhere: name the data directory of a millrace with --journal",
        ),
    ];
    for (code, args, part) in cases {
        let finished = millrace(["risk"].into_iter().chain(args.iter().map(String::as_str)));
        let Finished { code: found, stderr, .. } = &finished;
        assert_eq!(*found, Some(code), "{args:?}: {finished:?}");
        assert!(stderr.contains(part), "{args:?}: no {part:?} in {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
    assert!(!Path::new(&out).exists(), "no model was left");
}
