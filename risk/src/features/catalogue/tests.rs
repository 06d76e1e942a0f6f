//! How catalogues are read, what is refused of them, and what their digests stand for.

use super::*;

const HEAD: &str = "version = 1\n[[entity]]\nname = \"payer\"\n[[entity]]\nname = \"payee\"\n";

fn feature(fields: &str) -> String {
    format!("{HEAD}[[feature]]\nname = \"f\"\n{fields}\n")
}

#[test]
fn the_shipped_catalogues_are_right() {
    let book = Catalogue::book();
    assert_eq!(book.len(), 15);
    assert_eq!(book.index_of("payee.fraud_share_30d"), Some(14));
    assert_eq!(
        book.entities().iter().map(|e| e.name.as_str()).collect::<Vec<_>>(),
        ["payer", "payee"]
    );
    let standard = Catalogue::standard();
    assert_eq!(standard.index_of("nothing"), None);
    for feature in book.features().iter().chain(standard.features()) {
        assert!(!feature.description.is_empty(), "{} needs a description", feature.name);
    }
}

/// Fields of a feature, and what the catalogue must answer; the feature begins on line 6.
#[test]
fn mistakes_are_named_with_their_line() {
    for (fields, expected) in [
        (
            "statistic = \"cuont\"",
            "line 8, \"f\": statistic \"cuont\" is unknown: did you mean \"count\"?",
        ),
        ("entity = \"payer\"", "line 6, \"f\": a statistic is missing, such as \"count\""),
        (
            "statistic = \"count\"\nentity = \"payr\"\nwindow = \"1d\"",
            "line 9, \"f\": entity \"payr\" is not there, or only further below: did you mean \"payer\"?",
        ),
        (
            "statistic = \"count\"\nentity = \"payer\"\nwindow = \"7 days\"",
            "line 10, \"f\": window must be a whole number of s, m, h, d or w, such as \"90s\" or \"7d\", not \"7 days\"",
        ),
        ("statistic = \"count\"\nwindow = \"1d\"", "line 6, \"f\": count needs entity"),
        (
            "statistic = \"age\"\nentity = \"payer\"\nwindow = \"1d\"",
            "line 10, \"f\": age has no use for window",
        ),
        (
            "statistic = \"min\"\nentity = \"payer\"\nwindow = \"1d\"",
            "line 6, \"f\": min needs form ring or exact",
        ),
        (
            "statistic = \"count\"\nentity = \"payer\"\nwindow = \"1d\"\nform = \"rings\"",
            "line 11, \"f\": form \"rings\" is unknown: did you mean \"ring\"?",
        ),
        (
            "statistic = \"count\"\nentity = \"payer\"\nwindow = \"1d\"\nwindw = \"2d\"",
            "line 11, \"f\": there is no setting \"windw\" here: did you mean \"window\"?",
        ),
        (
            "statistic = \"mean\"\nentity = \"payer\"\nwindow = \"1d\"\ndelay = \"7d\"",
            "line 11, \"f\": the form decayed can shift only count, fraud_count and fraud_share: take ring",
        ),
        (
            "statistic = \"count\"\nentity = \"payer\"\nwindow = \"ever\"\nform = \"ring\"",
            "line 10, \"f\": only the form decayed can have the window \"ever\"",
        ),
        (
            "statistic = \"count\"\nentity = \"payer\"\nwindow = \"1d\"\nform = \"ring\"\nbucket = \"7h\"",
            "line 12, \"f\": bucket must be said, so that window and delay are whole numbers of it, at most 400 together",
        ),
        (
            "statistic = \"distinct\"\nentity = \"payer\"\nwindow = \"1d\"\nform = \"ring\"",
            "line 6, \"f\": of must name the kind of entity that is counted, such as of = \"payee\"",
        ),
        (
            "statistic = \"quotient\"\nof = [\"f\", \"g\"]",
            "line 9, \"f\": of \"f\" is not there, or only further below",
        ),
        (
            "statistic = \"amount\"\nmissing = \"zero\"",
            "line 9, \"f\": missing must be a finite number, not \"zero\"",
        ),
        (
            "statistic = \"amount\"\n[[feature]]\nname = \"f\"\nstatistic = \"hour\"",
            "line 10, \"f\": this name is there twice",
        ),
    ] {
        let error = Catalogue::parse(&feature(fields)).expect_err(fields);
        let text = error.to_string();
        let (_, text) =
            text.split_once("can't be used: ").expect("the beginning is always the same");
        assert_eq!(text, expected, "{fields}\n got {text}\nwant {expected}");
    }
}

#[test]
fn what_must_be_kept_always_is_not_on_demand() {
    let of_payer = "on_demand = true\nentity = \"payer\"\n";
    let part = "on_demand = true\nstatistic = \"amount\"\n[[feature]]\nname = \"g\"\n\
                statistic = \"amount\"\n[[feature]]\nname = \"q\"\nstatistic = \"quotient\"\n";
    for (fields, expected) in [
        (format!("{of_payer}statistic = \"age\""), "line 8, \"f\": age has to be kept always"),
        (format!("{of_payer}statistic = \"since_honest\""), "since_honest has to be kept always"),
        (format!("{part}of = [\"f\", \"g\"]"), "\"f\" is on_demand, and a quotient is kept always"),
        (
            format!("{part}of = [\"g\", \"g\"]\non_demand = true"),
            "quotient has to be kept always: leave on_demand out",
        ),
        ("statistic = \"hour\"\non_demand = 1".to_owned(), "on_demand must be true or false"),
    ] {
        let error = Catalogue::parse(&feature(&fields)).expect_err(&fields).to_string();
        assert!(error.contains(expected), "{fields}\n got {error}");
    }
    let many = (0..201).fold(HEAD.to_owned(), |text, number| {
        text + &format!(
            "[[feature]]\nname = \"f{number}\"\nstatistic = \"hour\"\non_demand = true\n"
        )
    });
    let error = Catalogue::parse(&many).expect_err("too many").to_string();
    assert!(error.contains("there are more than 200 features that are on_demand"), "{error}");
}

#[test]
fn models_see_what_is_kept_always() {
    let text = feature(
        "on_demand = true\nstatistic = \"hour\"\n[[feature]]\nname = \"a\"\nstatistic = \"amount\"\n\
         [[feature]]\nname = \"n\"\nstatistic = \"night\"\non_demand = true\n\
         [[feature]]\nname = \"b\"\nstatistic = \"hour\"\n\
         [[feature]]\nname = \"q\"\nstatistic = \"quotient\"\nof = [\"a\", \"b\"]",
    );
    let whole = Catalogue::parse(&text).expect("right");
    let names = |catalogue: &Catalogue| {
        catalogue.features().iter().map(|it| it.name.clone()).collect::<Vec<_>>()
    };
    let lean = whole.for_models();
    assert_eq!(names(&lean), ["a", "b", "q"]);
    assert_eq!(lean.features()[2].of, [0, 1]);
    assert_eq!(lean.digest(), whole.digest());
    assert_eq!(lean.difference(&whole, "q"), None);
    assert_eq!(whole.on_demand(["n", "a", "unknown", "f", "n"]), ["f", "n"]);
    assert_eq!(names(&whole.keeping(["n", "unknown"]).for_models()), ["a", "n", "b", "q"]);
    assert!(Catalogue::book().for_models().makes_rows_of(&Catalogue::book()));
    assert!(!lean.makes_rows_of(&whole) && !whole.makes_rows_of(&whole.keeping(["n"])));
}

/// Snapshots and models of earlier releases are of these catalogues.
#[test]
fn the_shipped_catalogues_keep_their_digests() {
    let hex = |catalogue: Catalogue| -> String {
        catalogue.digest()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let digests = [Catalogue::standard(), Catalogue::devices(), Catalogue::book()].map(hex);
    assert_eq!(digests, ["6731cc4d9d212c52", "37248466e5f9845b", "94e835be2865659b"]);
    let (always, _) = Catalogue::STANDARD.split_once("# For rules alone").expect("is there");
    let always = Catalogue::parse(always).expect("right");
    assert_eq!(always.digest(), Catalogue::standard().digest());
    assert!(always.makes_rows_of(&Catalogue::standard().for_models()));
}

#[test]
fn what_is_no_catalogue_is_refused() {
    for (text, expected) in [
        ("", "line 1: version = 1 must be there"),
        (
            "version = 2\n[[feature]]\nname=\"a\"\nstatistic=\"hour\"",
            "line 1: version = 1 must be there",
        ),
        ("version = 1", "there must be 1 to 1000 features"),
        (
            "version = 1\nfeature = 7",
            "feature must be a list of tables, not a value of type integer",
        ),
        ("version = \n", "this is not TOML"),
        (
            "version = 1\n[[feature]]\nname=\"A\"\nstatistic=\"hour\"",
            "line 3, \"A\": name must have",
        ),
        (
            "version = 1\n[[entity]]\nname=\"pair\"\nof=[\"payer\",\"payee\"]",
            "of \"payer\" is not there",
        ),
    ] {
        let error = Catalogue::parse(text).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}\n got {error}");
    }
}

/// What a payee's entity says of honest payments, and what the catalogue must answer.
#[test]
fn honest_payments_have_their_time() {
    let parse = |fields: &str, statistic: &str| {
        let text =
            format!("{HEAD}{fields}\n[[feature]]\nname = \"f\"\nentity = \"payee\"\n{statistic}");
        Catalogue::parse(&text)
    };
    let run = "statistic = \"fraud_average\"";
    for (fields, bucket) in [
        ("honest_after = \"7d\"", "6h"),
        ("honest_after = \"1d\"", "3086s"),
        ("honest_after = \"10s\"", "1s"),
        ("honest_after = \"7d\"\nhonest_bucket = \"5h\"", "5h"),
    ] {
        let catalogue = parse(fields, run).expect(fields);
        let payee = &catalogue.entities()[1];
        assert_eq!(payee.honest_bucket.to_string(), bucket, "{fields}");
    }
    for (fields, statistic, expected) in [
        (
            "honest_after = \"0d\"",
            run,
            "line 6, \"payee\": honest_after must be longer than nothing",
        ),
        ("honest_after = \"ever\"", run, "honest_after must be longer than nothing, and must end"),
        ("honest_bucket = \"1d\"", run, "honest_bucket has no meaning without honest_after"),
        (
            "honest_after = \"7d\"\nhonest_bucket = \"8d\"",
            run,
            "line 7, \"payee\": honest_bucket must fit into honest_after, 400 times at most",
        ),
        ("honest_after = \"7d\"\nhonest_bucket = \"1m\"", run, "400 times at most"),
        ("honest_after = \"7d\"\nhonest_bucket = \"0s\"", run, "400 times at most"),
        (
            "honest_after = \"7d\"",
            "statistic = \"age\"",
            "\"payee\" is used by none of its features",
        ),
        ("honest_afer = \"7d\"", run, "did you mean \"honest_after\"?"),
    ] {
        let error = parse(fields, statistic).expect_err(fields).to_string();
        assert!(error.contains(expected), "{fields}\n got {error}\nwant {expected}");
    }
    let digests = ["", "honest_after = \"7d\"", "honest_after = \"7d\"\nhonest_bucket = \"1d\""]
        .map(|fields| parse(fields, run).expect(fields).digest());
    assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2]);
}

#[test]
fn the_digest_is_of_the_meaning() {
    let count = "statistic = \"count\"\nentity = \"payer\"\nwindow = \"7d\"\n";
    let digest = |more: &str| {
        let text = feature(&format!("{count}{more}"));
        Catalogue::parse(&text).expect("right").digest()
    };
    let plain = digest("");
    for same in ["unit = \"pieces\"", "description = \"x\"", "form = \"decayed\"", "delay = \"0s\""]
    {
        assert_eq!(digest(same), plain, "{same}");
    }
    let mut all = vec![plain];
    for other in [
        "form = \"ring\"",
        "missing = 0",
        "current = false",
        "delay = \"1d\"",
        "form = \"ring\"\nbucket = \"1d\"",
    ] {
        assert!(!all.contains(&digest(other)), "{other}");
        all.push(digest(other));
    }
    let week = feature(&count.replace("7d", "1w"));
    assert_eq!(Catalogue::parse(&week).expect("right").digest(), plain, "the same span");
}

#[test]
fn entities_say_where_their_keys_are() {
    let text = format!(
        "{HEAD}[[entity]]\nname = \"pair\"\nof = [\"payer\", \"payee\"]\n[[entity]]\nname = \"device\"\n\
         context = \"device_id\"\nentities_max = 5\n[[feature]]\nname = \"a\"\nstatistic = \"amount\"\n"
    );
    let catalogue = Catalogue::parse(&text).expect("right");
    let sources: Vec<_> = catalogue.entities().iter().map(|entity| &entity.source).collect();
    let device = EntitySource::Context("device_id".to_owned());
    assert_eq!(
        sources,
        [&EntitySource::Payer, &EntitySource::Payee, &EntitySource::Pair(0, 1), &device]
    );
    assert_eq!(catalogue.entities()[3].entities_max, Some(5));
    let (one, other) = (super::super::EntityKey(1), super::super::EntityKey(2));
    let mut keys = [one, other, super::super::EntityKey::ABSENT, one];
    catalogue.pair_keys(&mut keys);
    assert_eq!(keys[2], super::super::EntityKey::pair(one, other));
}
