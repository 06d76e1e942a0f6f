//! Checks of a mapping that need more than its shape: columns exist, constants are valid values.

use std::collections::BTreeSet;

use millrace_protos::context::{OTHER_MAX, is_other_key};

use super::{ContextFields, Mapping, PaymentFields, error::nearest};
use crate::{Template, row_error::RowReason, values};

/// The key at fault, and what is wrong with it.
type Fault = (String, String);

pub(super) fn check(mapping: &Mapping) -> Result<(), Fault> {
    check_header(&mapping.header)?;
    for (key, template) in templates(mapping) {
        for column in template.columns() {
            if !mapping.header.iter().any(|known| known == column) {
                return Err((key.to_owned(), unknown_column(column, &mapping.header)));
            }
        }
    }
    check_identities(&mapping.payment)?;
    check_codes(mapping)?;
    check_special(mapping)?;
    check_others(&mapping.context)?;
    check_constants(&mapping.payment, &mapping.context)
}

fn check_header(header: &[String]) -> Result<(), Fault> {
    let distinct: BTreeSet<&String> = header.iter().collect();
    if header.is_empty() {
        return Err(("header".to_owned(), "names no column".to_owned()));
    }
    if distinct.len() < header.len() {
        return Err(("header".to_owned(), "names a column twice".to_owned()));
    }
    Ok(())
}

fn unknown_column(column: &str, header: &[String]) -> String {
    match nearest(column, header.iter().map(String::as_str)) {
        Some(near) => format!("names the column `{column}`, which header lacks; `{near}`?"),
        None => format!("names the column `{column}`, which header lacks: {}", header.join(", ")),
    }
}

fn check_identities(payment: &PaymentFields) -> Result<(), Fault> {
    let identities = [
        ("payment.id", payment.id.as_ref()),
        ("payment.original", payment.original.as_ref()),
        ("payment.debit", Some(&payment.debit)),
        ("payment.credit", Some(&payment.credit)),
    ];
    for (key, template) in identities {
        let Some(template) = template else { continue };
        let fault = |reason: &str| Err((key.to_owned(), reason.to_owned()));
        if template.is_ambiguous() {
            return fault("has two columns with no text between them: 1,23 would be 12,3");
        }
        if template.constant() == Some("") {
            return fault("is empty");
        }
    }
    if payment.id.as_ref().is_some_and(|id| id.constant().is_some()) {
        let reason = "names no column, so that all rows would be one payment";
        return Err(("payment.id".to_owned(), reason.to_owned()));
    }
    if payment.id.is_none() && payment.original.is_some() {
        let reason = "needs payment.id: it refers to an earlier row by that row's id";
        return Err(("payment.original".to_owned(), reason.to_owned()));
    }
    Ok(())
}

fn check_codes(mapping: &Mapping) -> Result<(), Fault> {
    let PaymentFields { codes, code_otherwise, .. } = &mapping.payment;
    let accounts = &mapping.accounts;
    let all = [
        ("payment.code_otherwise", *code_otherwise == Some(0)),
        ("payment.codes", codes.values().any(|code| *code == 0)),
        ("accounts.payer_code", accounts.payer_code == 0),
        ("accounts.payee_code", accounts.payee_code == 0),
        ("accounts.funding_code", accounts.funding_code == 0),
    ];
    match all.into_iter().find(|(_, is_zero)| *is_zero) {
        Some((key, _)) => Err((key.to_owned(), "has a code of 0; codes start at 1".to_owned())),
        None => Ok(()),
    }
}

fn check_special(mapping: &Mapping) -> Result<(), Fault> {
    for special in &mapping.accounts.special {
        if let Some(Err(reason)) = special.currency.as_deref().map(values::currency) {
            let key = format!("accounts.special `{}`, currency", special.account);
            return Err((key, reason.to_string()));
        }
    }
    Ok(())
}

fn check_others(context: &ContextFields) -> Result<(), Fault> {
    let fault = |key: &str, reason: &str| Err((key.to_owned(), reason.to_owned()));
    if context.other.len() > OTHER_MAX {
        return fault("context.other", "has more than 16 keys, and a payment has room for 16");
    }
    match context.other.keys().find(|key| !is_other_key(key)) {
        Some(key) => fault(
            &format!("context.other.{key}"),
            "is no key of one's own: 1 to 32 of a-z, 0-9 and _, beginning with a letter, and not the \
             name of a field",
        ),
        None => Ok(()),
    }
}

/// A constant is read as every row would read it, so that it can't fail there.
fn check_constants(payment: &PaymentFields, context: &ContextFields) -> Result<(), Fault> {
    fn constant<T>(
        key: &str,
        template: Option<&Template>,
        read: impl Fn(&str) -> Result<T, RowReason>,
    ) -> Result<(), Fault> {
        let Some(text) = template.and_then(Template::constant) else { return Ok(()) };
        read(text).map(drop).map_err(|reason| (key.to_owned(), format!("`{text}` {reason}")))
    }
    let code = |text: &str| values::code(text, &payment.codes, payment.code_otherwise);
    constant("payment.currency", Some(&payment.currency), values::currency)?;
    constant("payment.code", Some(&payment.code), code)?;
    constant("payment.operation", payment.operation.as_ref(), values::operation)?;
    constant("payment.timeout_seconds", payment.timeout_seconds.as_ref(), values::seconds)?;
    constant("payment.linked", payment.linked.as_ref(), values::boolean)?;
    constant("payment.balancing_debit", payment.balancing_debit.as_ref(), values::boolean)?;
    constant("payment.balancing_credit", payment.balancing_credit.as_ref(), values::boolean)?;
    constant("context.channel", context.channel.as_ref(), values::channel)?;
    constant("context.device_id", context.device_id.as_ref(), values::device_id)?;
    constant("context.ip_address", context.ip_address.as_ref(), values::ip_address)?;
    constant("context.country_code", context.country_code.as_ref(), values::country_code)?;
    let category = context.merchant_category_code.as_ref();
    constant("context.merchant_category_code", category, values::merchant_category)?;
    constant("context.reference", context.reference.as_ref(), values::reference)?;
    for (key, template) in &context.other {
        constant(&format!("context.other.{key}"), Some(template), values::other)?;
    }
    constant("context.event_time", context.event_time.as_ref(), values::event_time)
}

fn templates(mapping: &Mapping) -> impl Iterator<Item = (&'static str, &Template)> {
    let Mapping { payment, context, .. } = mapping;
    [
        ("payment.id", payment.id.as_ref()),
        ("payment.debit", Some(&payment.debit)),
        ("payment.credit", Some(&payment.credit)),
        ("payment.amount", Some(&payment.amount)),
        ("payment.currency", Some(&payment.currency)),
        ("payment.operation", payment.operation.as_ref()),
        ("payment.original", payment.original.as_ref()),
        ("payment.timeout_seconds", payment.timeout_seconds.as_ref()),
        ("payment.linked", payment.linked.as_ref()),
        ("payment.balancing_debit", payment.balancing_debit.as_ref()),
        ("payment.balancing_credit", payment.balancing_credit.as_ref()),
        ("payment.code", Some(&payment.code)),
        ("context.channel", context.channel.as_ref()),
        ("context.device_id", context.device_id.as_ref()),
        ("context.ip_address", context.ip_address.as_ref()),
        ("context.country_code", context.country_code.as_ref()),
        ("context.merchant_category_code", context.merchant_category_code.as_ref()),
        ("context.reference", context.reference.as_ref()),
        ("context.event_time", context.event_time.as_ref()),
    ]
    .into_iter()
    .filter_map(|(key, template)| Some((key, template?)))
    .chain(context.other.values().map(|template| ("context.other", template)))
}
