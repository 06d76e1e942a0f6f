//! Compiles the .proto files with protox (no system protoc) into messages, services and the
//! descriptor set that reflection serves.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(
        [
            "proto/millrace/v1/payment.proto",
            "proto/millrace/v1/account.proto",
            "proto/millrace/v1/risk.proto",
            "proto/millrace/v1/event.proto",
            "proto/millrace/v1/operator.proto",
        ],
        ["proto"],
    )?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out_dir.join("millrace_descriptors.bin"), descriptors.encode_to_vec())?;
    // Written by hand: the two messages of the hot path (`src/payment.rs`, `src/outcome.rs`), and
    // requests whose items are bounded while they are read (`src/requests.rs`).
    tonic_prost_build::configure()
        .extern_path(".millrace.v1.Payment", "crate::payment::Payment")
        .extern_path(".millrace.v1.PaymentOutcome", "crate::outcome::PaymentOutcome")
        .extern_path(".millrace.v1.SubmitPaymentsRequest", "crate::requests::SubmitPaymentsRequest")
        .extern_path(".millrace.v1.StreamPaymentsRequest", "crate::requests::StreamPaymentsRequest")
        .extern_path(".millrace.v1.CreateAccountsRequest", "crate::requests::CreateAccountsRequest")
        .extern_path(".millrace.v1.GetAccountsRequest", "crate::requests::GetAccountsRequest")
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
