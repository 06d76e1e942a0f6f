//! A request of 1,024 payments, encoded and decoded.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace_benches::payments;
use millrace_protos::{Payment, v1::SubmitPaymentsRequest};
use prost::Message as _;

const COUNT: u32 = 1_024;

fn wire(criterion: &mut Criterion) {
    let wire = |payment: &millrace_ledger::Payment| Payment {
        payment_id: payment.id.0,
        debit_account_id: payment.debit.0,
        credit_account_id: payment.credit.0,
        amount_minor: Some(payment.amount.0 as u64),
        ledger: payment.ledger.0,
        code: u32::from(payment.code.0),
        ..Payment::default()
    };
    let payments = payments(COUNT, 10_000, 0).iter().map(wire).collect();
    let request = SubmitPaymentsRequest { payments };
    let encoded = Bytes::from(request.encode_to_vec());
    let mut group = criterion.benchmark_group("wire");
    group.throughput(Throughput::Elements(u64::from(COUNT)));
    group.bench_function("encode", |bencher| bencher.iter(|| request.encode_to_vec()));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| SubmitPaymentsRequest::decode(black_box(encoded.clone())));
    });
}

criterion_group!(benches, wire);
criterion_main!(benches);
