//! The generator as a whole: the same bytes everywhere, in order, as many as asked for, and each
//! fraud with its signature.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io::Read as _,
};

use flate2::read::GzDecoder;
use millrace_ledger::Timestamp;
use millrace_risk_lab::generate::{
    COLUMNS, Channel, CsvFile, FraudPattern, GeneratedPayment, Generator, Lookalike, Settings,
    Summary,
};

const SECOND: u64 = 1_000_000_000;
const DAY_S: u64 = 86_400;

fn generate(settings: &Settings) -> Vec<GeneratedPayment> {
    Generator::new(settings).expect("settings are right").collect()
}

fn sized(payments: u64) -> Settings {
    Settings { payments, ..Settings::default() }
}

fn csv(settings: &Settings, gzip: bool) -> Vec<u8> {
    let mut file = CsvFile::new(Vec::new(), gzip);
    for payment in Generator::new(settings).expect("settings are right") {
        file.write(&payment).expect("memory can be written");
    }
    file.finish().expect("memory can be written")
}

/// Payments of each case, in order of time.
fn cases(
    payments: &[GeneratedPayment],
    is_of: impl Fn(&GeneratedPayment) -> bool,
) -> Vec<Vec<&GeneratedPayment>> {
    let mut cases: BTreeMap<u64, Vec<&GeneratedPayment>> = BTreeMap::new();
    for payment in payments.iter().filter(|payment| is_of(payment)) {
        cases.entry(payment.episode).or_default().push(payment);
    }
    let cases: Vec<_> = cases.into_values().collect();
    assert!(cases.len() >= 5, "{} cases are too few to tell", cases.len());
    cases
}

fn frauds(payments: &[GeneratedPayment], pattern: FraudPattern) -> Vec<Vec<&GeneratedPayment>> {
    cases(payments, |payment| payment.label == Some(pattern))
}

fn lookalikes(payments: &[GeneratedPayment], of: Lookalike) -> Vec<Vec<&GeneratedPayment>> {
    cases(payments, |payment| payment.lookalike == Some(of))
}

fn span_s(case: &[&GeneratedPayment]) -> u64 {
    (case[case.len() - 1].at.0 - case[0].at.0) / SECOND
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

#[test]
fn a_seed_means_the_same_bytes_on_every_machine() {
    let rows = csv(&sized(10_000), false);
    // A change of this digest is a change of what every seed means: say so in the changelog.
    let digest = blake3::hash(&rows).to_hex();
    assert_eq!(digest.as_str(), "adcd942705b4b7e0fa8702379a8076d8bb58e99c42a418114f9ae30a620465a4");
}

#[test]
fn another_seed_gives_other_payments() {
    let first = generate(&sized(5_000));
    let second = generate(&Settings { seed: 2, ..sized(5_000) });
    let ids: HashSet<u128> = first.iter().chain(&second).map(|payment| payment.id).collect();
    assert_eq!(ids.len(), 10_000, "ids differ within a seed and between seeds");
    let same = first.iter().zip(&second).filter(|(a, b)| a.payer == b.payer).count();
    assert!(same < 100, "{same} of 5,000 payers are the same");
}

#[test]
fn payments_are_in_order_and_whole() {
    let settings = sized(60_000);
    let payments = generate(&settings);
    assert_eq!(payments.len(), 60_000);
    assert!(payments.is_sorted_by_key(|payment| payment.at));
    let from = Timestamp(1_767_225_600 * SECOND);
    let end = Timestamp(from.0 + 30 * DAY_S * SECOND);
    let (customers, merchants) = (settings.customers_resolved(), settings.merchants_resolved());
    for (seq, payment) in (0..).zip(&payments) {
        assert_eq!(payment.seq, seq);
        assert!((from..end).contains(&payment.at), "{payment:?}");
        assert!(payment.amount_minor >= 1 && payment.payer != payment.payee, "{payment:?}");
        assert!((1..=customers).contains(&payment.payer.0), "{payment:?}");
        let payee = if payment.payee.is_merchant() {
            (1..=merchants).contains(&(payment.payee.0 - 1_000_000_000))
        } else {
            (1..=customers).contains(&payment.payee.0)
        };
        assert!(payee, "{payment:?}");
        assert_eq!(payment.payee.is_merchant(), payment.channel != Channel::Transfer);
        let at_terminal = matches!(payment.channel, Channel::CardPresent | Channel::Cash);
        assert_eq!(payment.ip.is_none(), at_terminal, "{payment:?}");
        assert!(payment.ip.is_none_or(|ip| ip.octets()[0] == 10), "{payment:?}");
        assert_eq!(payment.label.is_some(), payment.label_known_at.is_some());
        assert!(payment.label_known_at.is_none_or(|known| known >= payment.at), "{payment:?}");
        let is_unusual = payment.label.is_some() || payment.lookalike.is_some();
        assert_eq!(payment.episode > 0, is_unusual, "{payment:?}");
    }
}

#[test]
fn as_many_as_asked_for_whatever_the_settings() {
    let cases = [
        "payments = 1",
        "payments = 2\ndays = 1",
        "payments = 100\ndays = 1\nfraud_share = 0.5",
        "payments = 999\ndays = 3660\ngrowth_share = 5",
        "payments = 5000\ndays = 1\ncustomers = 50\nmerchants = 19",
        "payments = 3000\nfraud_share = 0",
        "payments = 3000\nabroad_share = 0.9\ntransfer_share = 0.9\nhome_country = \"CZ\"",
        "payments = 3000\ncurrency = \"JPY\"\nprice_level = 160",
        "payments = 3000\nseed = 9223372036854775807\nfrom = \"1970-01-01\"",
        "payments = 2000\ncustomers = 50\nfraud_share = 0.5\n[patterns.mule_ring]\nweight = 1000\n\
         payments_min = 400\npayments_max = 500",
        "payments = 4000\nfraud_share = 0.1\n[lookalikes.holiday]\nshare = 0.4",
        "payments = 4000\ndays = 1\n[patterns.compromised_merchant]\nweight = 100\n\
         duration_s_max = 8640000",
    ];
    for text in cases {
        let settings = Settings::parse(text).expect(text);
        let payments = generate(&settings);
        assert_eq!(payments.len() as u64, settings.payments, "{text}");
        assert!(payments.is_sorted_by_key(|payment| payment.at), "{text}");
        assert!(payments.iter().all(|payment| payment.payer != payment.payee), "{text}");
    }
}

#[test]
fn frauds_are_as_frequent_as_set() {
    for (seed, fraud_share) in [(1, 0.008), (2, 0.008), (3, 0.05)] {
        let settings = Settings { seed, fraud_share, ..sized(200_000) };
        let mut summary = Summary::default();
        Generator::new(&settings).expect("right").for_each(|payment| summary.add(&payment));
        let near = |share: f64, expected: f64, tolerance: f64, name: &str| {
            let error = (share / expected - 1.0).abs();
            assert!(error < tolerance, "seed {seed}, {name}: {share} instead of {expected}");
        };
        near(summary.fraud_share(), fraud_share, 0.1, "all fraud");
        let share = |payments: u64| payments as f64 / 200_000.0;
        for pattern in FraudPattern::ALL {
            // The default weights sum to 1.
            let expected = fraud_share * settings.patterns.of(*pattern).weight;
            near(share(summary.patterns[pattern].payments), expected, 0.3, pattern.name());
        }
        for lookalike in Lookalike::ALL {
            let expected = settings.lookalikes.of(*lookalike).share;
            let payments = summary.lookalikes[lookalike].payments;
            near(share(payments), expected, 0.3, lookalike.name());
        }
    }
}

#[test]
fn a_pattern_of_weight_0_never_happens() {
    let mut settings = Settings { fraud_share: 0.02, ..sized(20_000) };
    settings.patterns.card_testing.weight = 0.0;
    let payments = generate(&settings);
    let labels: HashSet<_> = payments.iter().filter_map(|payment| payment.label).collect();
    assert_eq!(labels.len(), FraudPattern::ALL.len() - 1);
    assert!(!labels.contains(&FraudPattern::CardTesting));
}

#[test]
fn every_pattern_has_its_signature() {
    let payments = generate(&Settings { fraud_share: 0.02, ..sized(150_000) });
    large_amounts(&payments);
    compromised_merchants(&payments);
    compromised_customers(&payments);
    card_tests(&payments);
    mule_rings(&payments);
}

/// Honest amounts of each payer to merchants.
fn honest_amounts(payments: &[GeneratedPayment]) -> HashMap<u32, Vec<u64>> {
    let mut amounts: HashMap<u32, Vec<u64>> = HashMap::new();
    for payment in payments {
        if payment.label.is_none() && payment.payee.is_merchant() {
            amounts.entry(payment.payer.0).or_default().push(payment.amount_minor);
        }
    }
    amounts
}

fn large_amounts(payments: &[GeneratedPayment]) {
    let usual = honest_amounts(payments);
    let mut times = Vec::new();
    for case in frauds(payments, FraudPattern::LargeAmount) {
        assert_eq!(case.len(), 1);
        if let Some(usual) = usual.get(&case[0].payer.0).filter(|usual| usual.len() >= 20) {
            times.push(case[0].amount_minor / median(usual.clone()));
        }
    }
    assert!(times.len() > 50 && median(times) >= 20, "many times what is usual");
}

fn compromised_merchants(payments: &[GeneratedPayment]) {
    let cases = frauds(payments, FraudPattern::CompromisedMerchant);
    for case in &cases {
        assert!(case.iter().all(|payment| payment.payee == case[0].payee));
        let payers: HashSet<_> = case.iter().map(|payment| payment.payer).collect();
        assert!(payers.len() >= 15, "{} payers", payers.len());
        assert!((3 * DAY_S..=21 * DAY_S).contains(&span_s(case)), "{} s", span_s(case));
    }
    let usual = payments.iter().filter(|payment| payment.label.is_none());
    let honest = usual.filter(|payment| payment.payee == cases[0][0].payee).count();
    assert!(honest > 0, "the merchant has honest trade, too");
}

fn compromised_customers(payments: &[GeneratedPayment]) {
    let mut own: HashMap<u32, HashSet<_>> = HashMap::new();
    for payment in payments.iter().filter(|payment| payment.label.is_none()) {
        own.entry(payment.payer.0).or_default().insert(payment.device);
    }
    for case in frauds(payments, FraudPattern::CompromisedCustomer) {
        assert!(case.iter().all(|payment| payment.payer == case[0].payer));
        assert!((5..=20).contains(&case.len()) && span_s(&case) <= 10 * DAY_S);
        let online = case.iter().filter(|payment| payment.channel == Channel::CardNotPresent);
        let devices: HashSet<_> = online.map(|payment| payment.device).collect();
        assert!(devices.len() <= 1, "one thief, one device");
        let known = own.get(&case[0].payer.0);
        assert!(devices.iter().all(|device| known.is_none_or(|known| !known.contains(device))));
    }
}

fn card_tests(payments: &[GeneratedPayment]) {
    for case in frauds(payments, FraudPattern::CardTesting) {
        let [small @ .., large] = &case[..] else { panic!("a case has payments") };
        assert!(case.iter().all(|payment| payment.payer == large.payer));
        assert!(case.iter().all(|payment| payment.device == large.device));
        assert!(small.len() >= 6 && small.iter().all(|payment| payment.amount_minor <= 300));
        assert!(large.amount_minor >= 25_000 && span_s(&case) <= 45 * 60);
    }
}

fn mule_rings(payments: &[GeneratedPayment]) {
    for case in frauds(payments, FraudPattern::MuleRing) {
        let collector = case[0].payee;
        let (fan_in, fan_out) = case.split_at(case.len() * 2 / 3);
        assert!(fan_in.iter().all(|payment| payment.payee == collector), "fan-in comes first");
        assert!(fan_out.iter().all(|payment| payment.payer == collector), "then the fan-out");
        let victims: HashSet<_> = fan_in.iter().map(|payment| payment.payer).collect();
        let mules: HashSet<_> = fan_out.iter().map(|payment| payment.payee).collect();
        assert_eq!((victims.len(), mules.len()), (fan_in.len(), fan_out.len()));
        assert!(victims.is_disjoint(&mules) && mules.len() >= 3);
        let sum = |part: &[&GeneratedPayment]| -> u64 {
            part.iter().map(|payment| payment.amount_minor).sum()
        };
        let (came, went) = (sum(fan_in), sum(fan_out));
        assert!(went <= came && went * 10 >= came * 7, "{came} came, {went} went");
        assert!(span_s(&case) <= 40 * 60, "within minutes");
    }
}

#[test]
fn every_lookalike_is_like_its_fraud_but_for_what_tells_them_apart() {
    let payments = generate(&sized(100_000));
    for case in lookalikes(&payments, Lookalike::GroupCollection) {
        let [fan_in @ .., last] = &case[..] else { panic!("a case has payments") };
        assert!(fan_in.iter().all(|payment| payment.payee == last.payer));
        assert!(last.payee.is_merchant(), "the money goes to a merchant, not to accounts");
    }
    let mut honest_devices: HashMap<u32, HashSet<_>> = HashMap::new();
    for payment in payments.iter().filter(|payment| payment.episode == 0) {
        honest_devices.entry(payment.payer.0).or_default().insert(payment.device);
    }
    let mut own = 0;
    let small = lookalikes(&payments, Lookalike::SmallPurchases);
    for case in &small {
        assert!(case.iter().all(|payment| payment.amount_minor < 500));
        assert!(span_s(case) <= 3_600);
        let devices = honest_devices.get(&case[0].payer.0);
        own += usize::from(devices.is_some_and(|known| known.contains(&case[0].device)));
    }
    assert!(own * 10 > small.len() * 7, "{own} of {} on a device known", small.len());
    for case in lookalikes(&payments, Lookalike::NewDevice) {
        assert!(case.iter().all(|payment| payment.device == case[0].device));
    }
    for case in lookalikes(&payments, Lookalike::Holiday) {
        assert!(case.iter().all(|payment| payment.payer == case[0].payer));
        let countries: HashSet<_> = case.iter().map(|payment| payment.country).collect();
        assert_eq!(countries.len(), 1, "one journey, one country");
    }
    let usual = honest_amounts(&payments);
    let big = lookalikes(&payments, Lookalike::BigTicket);
    let times = |payment: &GeneratedPayment| {
        payment.amount_minor / median(usual[&payment.payer.0].clone()).max(1)
    };
    assert!(median(big.iter().map(|case| times(case[0])).collect()) >= 10);
}

#[test]
fn reports_come_after_their_pattern_s_delay() {
    let settings = Settings { fraud_share: 0.05, ..sized(200_000) };
    let payments = generate(&settings);
    for pattern in FraudPattern::ALL {
        let of = settings.patterns.of(*pattern);
        // From the last payment of the case where they are reported together.
        let delays: Vec<u64> = frauds(&payments, *pattern)
            .iter()
            .flat_map(|case| {
                let last = case[case.len() - 1].at;
                let known = |payment: &GeneratedPayment| payment.label_known_at.expect("known");
                let together = case.iter().all(|payment| known(payment) == known(case[0]));
                match together {
                    true => vec![(known(case[0]).0 - last.0) / SECOND],
                    false => case
                        .iter()
                        .map(|payment| (known(payment).0 - payment.at.0) / SECOND)
                        .collect(),
                }
            })
            .collect();
        let ratio = median(delays.clone()) as f64 / of.report_s_median as f64;
        assert!((0.75..1.33).contains(&ratio), "{pattern}: {ratio} of the median");
        let longest = delays.iter().max().copied().unwrap_or_default();
        assert!(longest <= of.report_s_median * 12, "{pattern}: {longest} s");
    }
}

#[test]
fn nights_weekends_paydays_and_growth_show() {
    // 8 weeks from a Thursday; paydays are the 25th.
    let payments = generate(&Settings { days: 56, growth_share: 0.2, ..sized(200_000) });
    let count = |is: &dyn Fn(u64, u64) -> bool| {
        let hours = payments.iter().map(|payment| payment.at.0 / SECOND / 3_600);
        let from = 1_767_225_600 / 3_600;
        hours.filter(|hour| is((hour - from) / 24, hour % 24)).count() as f64
    };
    let night = count(&|_, hour| (1..5).contains(&hour));
    let evening = count(&|_, hour| (16..20).contains(&hour));
    assert!(night * 15.0 < evening, "{night} at night, {evening} in the evening");
    // Day 0 is a Thursday.
    let weekday = |wanted: u64| count(&move |day, _| (day + 3) % 7 == wanted);
    let (friday, sunday) = (weekday(4), weekday(6));
    assert!(sunday * 1.3 < friday, "{sunday} on Sundays, {friday} on Fridays");
    let late = |weekend: bool| {
        let is_late =
            move |day: u64, hour: u64| ((day + 3) % 7 >= 5) == weekend && !(3..22).contains(&hour);
        let all = count(&move |day, _| ((day + 3) % 7 >= 5) == weekend);
        count(&is_late) / all
    };
    assert!(late(true) > 1.3 * late(false), "weekends are longer at night");
    // Day 24 is January 25th, a Sunday.
    let (payday, week_before) = (count(&|day, _| day == 24), count(&|day, _| day == 17));
    assert!(payday > 1.15 * week_before, "{payday} on payday, {week_before} a week before");
    let (first, last) = (count(&|day, _| day < 7), count(&|day, _| day >= 49));
    assert!(last > 1.2 * first, "{last} in the last week, {first} in the first");
    let half = payments.len() / 2;
    let early: HashSet<_> = payments[..half].iter().map(|payment| payment.payer).collect();
    let newest = early.iter().map(|payer| payer.0).max().unwrap_or_default();
    assert!(payments[half..].iter().any(|payment| payment.payer.0 > newest), "customers join");
}

#[test]
fn memory_depends_on_what_is_under_way_and_not_on_the_length() {
    let pending_max = |days: u32| {
        let mut settings = sized(u64::from(days) * 3_000);
        settings.days = days;
        settings.customers = 1_500;
        let mut generator = Generator::new(&settings).expect("right");
        let mut most = 0;
        while generator.next().is_some() {
            most = most.max(generator.pending_payments());
        }
        most
    };
    let (short, long) = (pending_max(30), pending_max(150));
    assert!(long < short * 2, "{long} wait in five times the length, {short} in one");
    // 3,000 a day; holidays of 9 days and compromised merchants of 14 are most of what waits.
    assert!(long < 2_000, "{long} payments wait");
}

#[test]
fn a_file_reads_back_and_gzip_holds_the_same() {
    let settings = Settings { fraud_share: 0.02, ..sized(5_000) };
    let rows = csv(&settings, false);
    let mut unpacked = Vec::new();
    let packed = csv(&settings, true);
    GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).expect("gzip");
    assert_eq!(unpacked, rows);
    let mut reader = csv::Reader::from_reader(&rows[..]);
    assert_eq!(reader.headers().expect("a header").iter().collect::<Vec<_>>().join(","), COLUMNS);
    let payments = generate(&settings);
    for (row, payment) in reader.records().zip(&payments) {
        let row = row.expect("a row");
        let expected = [
            payment.seq.to_string(),
            time(payment.at),
            payment.payer.to_string(),
            payment.payee.to_string(),
            format!("{}.{:02}", payment.amount_minor / 100, payment.amount_minor % 100),
            u8::from(payment.label.is_some()).to_string(),
            payment.device.to_string(),
            payment.country.code().to_owned(),
            payment.channel.to_string(),
            payment.mcc.to_string(),
            payment.label.map_or_else(String::new, |pattern| pattern.to_string()),
            payment.label_known_at.map_or_else(String::new, time),
        ];
        assert_eq!(row.iter().collect::<Vec<_>>(), expected);
    }
    assert_eq!(rows.iter().filter(|byte| **byte == b'\n').count(), 5_001);
}

fn time(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.0)).expect("in range");
    at.to_string()
}

#[test]
fn a_summary_counts_what_there_is_and_draws_it() {
    let payments = generate(&Settings { fraud_share: 0.02, ..sized(50_000) });
    let mut summary = Summary::default();
    payments.iter().for_each(|payment| summary.add(payment));
    assert_eq!(summary.all.payments, 50_000);
    for pattern in FraudPattern::ALL {
        let cases = frauds(&payments, *pattern);
        let counts = &summary.patterns[pattern];
        assert_eq!(counts.cases as usize, cases.len(), "{pattern}");
        assert_eq!(counts.payments as usize, cases.iter().map(Vec::len).sum::<usize>());
    }
    let picture = summary.picture();
    let lines: Vec<&str> = picture.lines().collect();
    assert_eq!(lines.len(), 14);
    assert!(lines[0].starts_with("  Thu 2026-01-01 "), "{picture}");
    assert!(
        lines.iter().all(|line| line.contains('█')
            || line.contains('▆')
            || line.contains('▅')
            || line.contains('▄')),
        "{picture}"
    );
    assert!(lines.iter().all(|line| line.contains('▁')), "{picture}");
}
