//! Artefacts and policies: consumes files, produces what the server keeps and decides by. What
//! can't be used changes nothing.

use std::fs;

use millrace_protos::v1::{ArtefactKind, DownloadArtefactRequest, UploadArtefactRequest};
use tonic::Code;

use crate::{
    bank,
    support::{
        bank::{ALICE, BOB, Bank, uuid},
        config::Settings,
        payments::{error_info, pay},
        within,
    },
};

/// Guards uploads and policies against what can't be used: a sentence, and nothing changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn artefacts_are_kept_and_unusable_policies_refused() {
    let bank = bank().await;
    let file = bank.scratch.write("rules.txt", "amount > 5");
    let name = blake3::hash(b"amount > 5").to_hex().to_string();
    for kind in ["rules", "policy", "list", "model"] {
        let finished = bank.signed("ann", &["upload", kind, &file]);
        assert_eq!(finished.stdout, format!("{name}  10 bytes\n"), "{finished:?}");
    }
    assert_eq!(
        fs::read(bank.data_dir().join("shelf").join(&name)).expect("is kept"),
        b"amount > 5"
    );
    let large = bank.scratch.write("large.bin", vec![0xff; 3 << 20]);
    let finished = bank.signed("ann", &["upload", "model", &large]);
    assert!(finished.stdout.ends_with("  3145728 bytes\n"), "{finished:?}");
    for (args, parts) in [
        (["upload", "policy", &large], ["may have 1048576 bytes", "nothing was kept"]),
        (["upload", "list", &large], ["text in UTF-8", "ARTEFACT_NOT_TEXT"]),
        (["upload", "list", "missing.csv"], ["missing.csv can't be read", "No such file"]),
    ] {
        let finished = bank.signed("ann", &args);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        for part in parts {
            assert!(finished.stderr.contains(part), "no {part:?} in {}", finished.stderr);
        }
    }
    let large = vec![0xff; 3 << 20];
    let name = blake3::hash(&large).to_hex().to_string();
    let request = DownloadArtefactRequest { name: name.to_uppercase() };
    let pieces = within("answer", bank.connection.risk().download_artefact(request)).await;
    let mut pieces = pieces.expect("is there").into_inner();
    let (mut bytes, mut told) = (Vec::new(), Vec::new());
    while let Some(piece) = within("piece", pieces.message()).await.expect("comes") {
        bytes.extend_from_slice(&piece.chunk);
        told.push(piece.size_bytes);
    }
    assert!(bytes == large, "{} bytes came back", bytes.len());
    assert_eq!(told, [3 << 20, 0, 0], "the first piece tells how many there are");
    for (name, reason, code) in [
        ("", "FIELD_MISSING", Code::InvalidArgument),
        ("../../journal", "SHELF", Code::InvalidArgument),
        (&"0".repeat(64), "SHELF", Code::NotFound),
    ] {
        let request = DownloadArtefactRequest { name: name.to_owned() };
        let status = within("answer", bank.connection.risk().download_artefact(request)).await;
        let status = status.expect_err("is refused");
        let info = error_info(&status).expect("has a reason");
        assert_eq!((status.code(), info.1.as_str()), (code, reason), "{name}");
    }
    let unknown = "0".repeat(64);
    for (args, parts) in [
        (["policy", "set", &unknown], ["the one in force stays", "is not on the shelf"]),
        (["policy", "set", "nonsense"], ["neither a file nor the name", "64 hexadecimal"]),
        (["policy", "set", &file], ["the one in force stays", "key with no value"]),
    ] {
        bank.refused("ann", &args, &parts);
    }
    bank.refused("ann", &["policy", "rollback"], &["no earlier policy"]);
    let shown = bank.risk(&["policy", "show"]);
    assert!(shown.stderr.contains("no policy was set yet"), "{shown:?}");
    let pieces = |kind: ArtefactKind| {
        let piece = |kind, chunk: &'static [u8]| UploadArtefactRequest {
            kind,
            chunk: chunk.into(),
            actor: "ann".to_owned(),
            why: "a test".to_owned(),
            ..UploadArtefactRequest::default()
        };
        tokio_stream::iter([piece(kind as i32, b"a"), piece(ArtefactKind::Model as i32, b"b")])
    };
    for kind in [ArtefactKind::Unspecified, ArtefactKind::Rules] {
        let response = within("answer", bank.connection.risk().upload_artefact(pieces(kind))).await;
        let status = response.expect_err("is refused");
        assert_eq!(status.code(), Code::InvalidArgument);
        let info = error_info(&status).expect("has a reason");
        assert_eq!(info, ("millrace.v1".to_owned(), "FIELD_MALFORMED".to_owned()));
    }
}

/// A policy of rules is set while payments go on, decides from then on, survives a restart, and is
/// taken back by one command.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_policy_is_set_decides_and_is_rolled_back() {
    let bank = bank().await;
    let rules = bank.scratch.write(
        "rules.toml",
        "[[rule]]\nname = \"odd-amount\"\nwhen = \"amount > 3 && amount < 4\"\naction = \"block\"\n\
         reason = \"{amount} is odd\"\n",
    );
    let uploaded = bank.signed("ann", &["upload", "rules", &rules]).stdout;
    let rules = uploaded.split_whitespace().next().expect("a name").to_owned();
    let strict = bank.scratch.write(
        "strict.toml",
        format!(
            "name = \"strict\"\nrules = \"{rules}\"\n[budget]\nrequest_ms = 0\nthen = \"approve\"\n"
        ),
    );
    let loose = bank.scratch.write("loose.toml", "name = \"loose\"\n");
    const BLOCKED: &str = "REJECTED RISK_DECLINED";
    assert_eq!(bank.submit_one(pay(1, ALICE, BOB, 350)).await, "SETTLED");
    bank.done("ann", &["policy", "set", &loose], "");
    bank.done("ann", &["policy", "set", &strict], "");
    assert_eq!(bank.submit_one(pay(2, ALICE, BOB, 350)).await, BLOCKED);
    let shown = bank.risk(&["decision", &uuid(2)]).stdout;
    for part in ["decided     decline", "rule        odd-amount", "because     3.50 is odd"] {
        assert!(shown.contains(part), "no {part:?} in {shown}");
    }
    assert_eq!(bank.submit_one(pay(3, ALICE, BOB, 450)).await, "SETTLED");
    let Bank { server, scratch, .. } = bank;
    server.kill();
    let bank = Bank::start_in(scratch, &Settings::dev()).await;
    bank.wait_for_desk();
    assert_eq!(bank.submit_one(pay(4, ALICE, BOB, 350)).await, BLOCKED);
    bank.done("ann", &["policy", "rollback"], "");
    assert_eq!(bank.submit_one(pay(5, ALICE, BOB, 350)).await, "SETTLED");
    let shown = bank.risk(&["policy", "show"]).stdout;
    assert!(shown.contains("name = \"loose\""), "{shown}");
}
