//! An audit log in a directory of its own: written, waited for, looked at, changed.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use millrace_engine::feed::FeedBatch;
use millrace_ledger::{RejectReason, RiskDecision};
use millrace_sinks::{
    AuditConfig, AuditSink, Sink as _,
    audit::{AuditError, AuditReader, AuditReport, VerifyOptions, verify},
};
use tempfile::TempDir;

use super::{CZK, History, bank};

/// Entries of 500 to 800 bytes, so a segment has more than two blocks of 256.
pub(crate) const SEGMENT_BYTES: u64 = 400_000;

pub(crate) struct Log {
    pub(crate) temp: TempDir,
    pub(crate) config: AuditConfig,
    pub(crate) segment_bytes: u64,
}

impl Log {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().expect("a temporary directory");
        Self { temp, config: AuditConfig::default(), segment_bytes: SEGMENT_BYTES }
    }

    /// A log of these events, all of them signed, its segments compressed.
    pub(crate) fn of(batches: &[FeedBatch]) -> Self {
        let log = Self::new();
        log.write(batches);
        log
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.temp.path().join("audit")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub(crate) fn open(&self) -> AuditSink {
        let sink = AuditSink::open_sized(&self.dir(), &self.config, self.segment_bytes);
        sink.expect("opens")
    }

    pub(crate) fn open_error(&self) -> String {
        let sink = AuditSink::open_sized(&self.dir(), &self.config, self.segment_bytes);
        sink.expect_err("is refused").to_string()
    }

    pub(crate) fn write(&self, batches: &[FeedBatch]) {
        let mut sink = self.open();
        sink.apply(batches).expect("applies");
        self.wait_for_compression();
        drop(sink);
    }

    /// Until no sealed segment is a file of lines any more.
    pub(crate) fn wait_for_compression(&self) {
        let give_up = Instant::now() + Duration::from_secs(120);
        while self.segments().iter().any(|name| name.ends_with("jsonl") || name.ends_with("new")) {
            assert!(Instant::now() < give_up, "not compressed: {:?}", self.segments());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Names of files of sealed segments, in order.
    pub(crate) fn segments(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("segments")).expect("is there");
        let names = entries.map(|entry| entry.expect("reads").file_name());
        let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Names of the compressed segments, in order.
    pub(crate) fn compressed(&self) -> Vec<String> {
        self.segments().into_iter().filter(|name| name.ends_with(".zst")).collect()
    }

    pub(crate) fn reader(&self) -> AuditReader {
        AuditReader::open(&self.dir()).expect("opens")
    }

    pub(crate) fn verify(&self) -> Result<AuditReport, AuditError> {
        verify(&self.dir(), &VerifyOptions::default())
    }

    pub(crate) fn faults(&self) -> String {
        self.verify().expect_err("is not intact").to_string()
    }

    /// The lines of a compressed segment.
    pub(crate) fn lines(&self, segment: &str) -> Vec<Vec<u8>> {
        let bytes = fs::read(self.path("segments").join(segment)).expect("reads");
        let text = zstd::stream::decode_all(&bytes[..]).expect("is compressed");
        split(&text)
    }

    /// Replaces a segment's lines, its index with them, as somebody would who knows the format.
    pub(crate) fn set_lines(&self, segment: &str, lines: &[Vec<u8>]) {
        let frames = lines
            .chunks(256)
            .map(|block| zstd::bulk::compress(&block.concat(), 3).expect("compresses"));
        let path = self.path("segments").join(segment);
        fs::write(&path, frames.collect::<Vec<_>>().concat()).expect("written");
        let index = path.to_string_lossy().replace(".jsonl.zst", ".idx");
        fs::remove_file(index).expect("was there");
    }

    /// All that the log's directory has, by name.
    pub(crate) fn snapshot(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(self.temp.path(), &mut files);
        files.sort();
        files
    }

    /// Puts everything back as it was.
    pub(crate) fn restore(&self, files: &[(PathBuf, Vec<u8>)]) {
        fs::remove_dir_all(self.dir()).expect("removed");
        for (path, bytes) in files {
            fs::create_dir_all(path.parent().expect("has one")).expect("made");
            fs::write(path, bytes).expect("written");
        }
        fs::create_dir_all(self.path("segments")).expect("made");
        fs::create_dir_all(self.path("checkpoints")).expect("made");
    }
}

fn collect(dir: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(dir).expect("is there") {
        let path = entry.expect("reads").path();
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push((path.clone(), fs::read(&path).expect("reads"))),
        }
    }
}

/// Lines, each with its line feed.
pub(crate) fn split(text: &[u8]) -> Vec<Vec<u8>> {
    text.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// Every kind of event, many times: ten for each round.
pub(crate) fn long_history(rounds: u128) -> History {
    let mut history = bank();
    history.open_keeping(4, CZK);
    history.open(5, CZK);
    for round in 0..rounds {
        let number = 1_000 + 10 * round;
        history.authorize(number, 4, 5, 700, 60);
        history.capture(number + 1, number, (4, 5), 300, false);
        match round % 3 {
            0 => history.capture(number + 2, number, (4, 5), 400, true),
            1 => history.void(number + 2, number, (4, 5), 400),
            _ => history.expire(number, (4, 5), 400),
        }
        history.refund(number + 3, number + 1, (4, 5), 200);
        history.reject(number + 4, 5, 4, 1 << 70, RejectReason::InsufficientFunds);
        history.open(number + 5, CZK);
        history.pay(number + 6, 5, number + 5, 90);
        history.hold_by_risk(number + 7, 80, RiskDecision::Review);
        match round % 4 {
            0 => history.claim(number + 7, "ann"),
            1 => history.resolve(number + 7, "bob \"the desk\"", true),
            2 => history.report(number + 6, "ann", true),
            _ => history.set_policy("bob \"the desk\"", "a policy"),
        }
    }
    history
}
