//! What became of a file: consumes the summary of its submission, produces JSON, a table and an
//! exit code.

use std::{fmt::Write as _, process::ExitCode};

use millrace_client::Summary;
use millrace_ledger::{Currency, Sum};
use serde_json::{Map, Value, json};

/// Of fewer requests, a rate and a distribution would say nothing.
const REQUESTS_MIN: u64 = 20;

/// Exit code when rows of the file were refused.
const ROWS_REFUSED: u8 = 2;

/// The summary's fields, for a JSON object.
pub(crate) fn fields(summary: &Summary) -> Map<String, Value> {
    let latency_ms = |quantile| summary.latency_us.value_at_quantile(quantile) as f64 / 1_000.0;
    let refused: Vec<Value> = summary
        .refused_rows
        .first
        .iter()
        .map(|row| {
            json!({
                "line": row.line,
                "column": row.column,
                "value": row.value,
                "reason": row.reason.to_string(),
            })
        })
        .collect();
    let object = json!({
        "submitted": summary.submitted,
        "settled": summary.settled,
        "held": summary.held,
        "held_for_review": summary.held_for_review,
        "voided": summary.voided,
        "rejected": summary.rejected,
        "duplicates": summary.duplicates,
        "replayed": summary.replayed,
        "refused_rows": summary.refused_rows.count,
        "first_refused_rows": refused,
        "refused_file": summary.refused_rows.file,
        "settled_minor": minor(&summary.settled_minor),
        "refunded_minor": minor(&summary.refunded_minor),
        "elapsed_s": summary.elapsed.as_secs_f64(),
        "payments_per_s": rate(summary).round(),
        "request_latency_ms": {
            "p50": latency_ms(0.5),
            "p90": latency_ms(0.9),
            "p99": latency_ms(0.99),
            "max": summary.latency_us.max() as f64 / 1_000.0,
        },
    });
    match object {
        Value::Object(fields) => fields,
        _ => unreachable!("json!({{…}}) is an object"),
    }
}

/// The same for people.
pub(crate) fn table(summary: &Summary) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "  {name:<14}{value:>14}");
    };
    line("submitted", &summary.submitted);
    line("settled", &summary.settled);
    line("held", &summary.held);
    if summary.held_for_review > 0 {
        line("  for review", &summary.held_for_review);
    }
    line("voided", &summary.voided);
    line("rejected", &summary.rejected_total());
    line("repeated rows", &summary.duplicates);
    line("known before", &summary.replayed);
    for (reason, count) in &summary.rejected {
        let lines: Vec<_> = summary.rejected_rows.get(reason).into_iter().flatten().collect();
        let lines: Vec<_> = lines
            .iter()
            .map(|row| match row.risk_reason.as_str() {
                "" => row.line.to_string(),
                rule => format!("{} ({rule})", row.line),
            })
            .collect();
        let more = if *count > lines.len() as u64 { ", …" } else { "" };
        let _ = writeln!(text, "    {count:>8}  {reason}: line {}{more}", lines.join(", "));
    }
    for (title, sums) in
        [("settled", &summary.settled_minor), ("refunded", &summary.refunded_minor)]
    {
        for (code, minor) in sums {
            let amount = Currency::of_code(code)
                .map_or_else(|| minor.to_string(), |currency| currency.format_sum(*minor));
            let _ = writeln!(text, "  {title:<14}{amount:>14} {code}");
        }
    }
    if summary.latency_us.len() < REQUESTS_MIN {
        return text;
    }
    let at = |quantile| summary.latency_us.value_at_quantile(quantile) as f64 / 1_000.0;
    let _ = writeln!(
        text,
        "  {:.0} payments/s; a request took {:.1} ms (p50), {:.1} ms (p99)",
        rate(summary),
        at(0.5),
        at(0.99)
    );
    text
}

/// What is wrong with rows that were not sent, one line each.
pub(crate) fn refused(summary: &Summary) -> Option<String> {
    let rows = &summary.refused_rows;
    if rows.count == 0 {
        return None;
    }
    let rows_word = if rows.count == 1 { "row" } else { "rows" };
    let mut text = format!("{} {rows_word} could not be sent:\n", rows.count);
    for row in &rows.first {
        let _ = writeln!(text, "  {row}");
    }
    if rows.count > rows.first.len() as u64 {
        let _ = writeln!(text, "  … and {} more", rows.count - rows.first.len() as u64);
    }
    if let Some(path) = &rows.file {
        let _ = write!(text, "correct what is wrong in {} and submit that file", path.display());
    }
    Some(text)
}

/// 0, or 2 when rows could not be sent.
pub(crate) fn exit_code(summary: &Summary) -> ExitCode {
    match summary.refused_rows.count {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(ROWS_REFUSED),
    }
}

fn rate(summary: &Summary) -> f64 {
    summary.submitted as f64 / summary.elapsed.as_secs_f64().max(1e-9)
}

/// Sums as numbers where a number is exact everywhere, else as text.
fn minor(sums: &std::collections::BTreeMap<&'static str, Sum>) -> Value {
    let exact = |sum: Sum| match sum.to_amount().map(|minor| u64::try_from(minor.0)) {
        Some(Ok(minor)) if minor < 1 << 53 => json!(minor),
        _ => json!(sum.to_string()),
    };
    sums.iter().map(|(code, sum)| ((*code).to_owned(), exact(*sum))).collect::<Map<_, _>>().into()
}
