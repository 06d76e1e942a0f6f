use std::time::Instant;
use millrace_benches::{ledger, payments};
use millrace_ledger::{ApproveAll, Decision, Timestamp};
fn cpu_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}
fn main() {
    let accounts: u32 = std::env::args().nth(1).map_or(1_000_000, |a| a.parse().unwrap());
    let batches: u32 = std::env::args().nth(2).map_or(200, |a| a.parse().unwrap());
    let mut ledger = ledger(accounts);
    let (mut first, mut now) = (0, Timestamp(1));
    let (mut cpu, mut wall) = (Vec::new(), Vec::new());
    for _ in 0..batches {
        let batch = payments(8192, accounts, first);
        first += 8192;
        now.0 += 1_000_000;
        let (c, w) = (cpu_ns(), Instant::now());
        ledger.begin_batch(now, &mut Vec::new());
        let mut sum = 0_u64;
        ledger.decide(&batch, &mut ApproveAll, |d: &Decision| if let Decision::New(e) = d { sum ^= e.seq.0 }).unwrap();
        ledger.end_batch();
        cpu.push(cpu_ns() - c);
        wall.push(w.elapsed().as_nanos() as u64);
        std::hint::black_box(sum);
        if ledger.generation_is_full() { ledger.close_generation(); drop(ledger.let_go(0)); }
    }
    cpu.sort(); wall.sort();
    let n = cpu.len();
    println!("cpu ns/payment: min {:.0} p25 {:.0} p50 {:.0} mean {:.0}; wall p25 {:.0} p50 {:.0}", cpu[0] as f64/8192., cpu[n/4] as f64/8192., cpu[n/2] as f64/8192., cpu.iter().sum::<u64>() as f64/8192./n as f64, wall[n/4] as f64/8192., wall[n/2] as f64/8192.);
}
