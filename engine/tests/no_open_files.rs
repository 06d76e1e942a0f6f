//! A start that has too few files to open is refused and leaves everything as it is. In a process of its own,
//! whose limit of open files goes down and up again.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::fs;

use millrace_engine::Engine;
use millrace_ledger::ApproveAll;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{
    backups::{config, journal},
    files,
};

#[test]
fn a_start_without_files_to_open_leaves_snapshots_and_runs() {
    let before = getrlimit(Resource::Nofile);
    let (mut refused, mut started) = (0, 0);
    for more in 2..40 {
        let directory = journal();
        let directory = directory.path();
        let snapshots = || files(&directory.join("snapshots"), ".snapshot");
        let there = snapshots();
        assert_eq!(there.len(), 2);
        let open = fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1;
        let few = Rlimit { current: Some(open + more), ..before };
        setrlimit(Resource::Nofile, few).unwrap();
        let outcome = Engine::start(&config(directory), &ApproveAll);
        setrlimit(Resource::Nofile, before).unwrap();
        let Err(error) = outcome.map(|(engine, _)| engine.stop().unwrap()) else {
            started += 1;
            continue;
        };
        refused += 1;
        assert!(error.to_string().contains("open files"), "{more}: {error}");
        assert_eq!(snapshots(), there, "{more}: {error}");
        // Their runs are there, too.
        let (engine, report) = Engine::start(&config(directory), &ApproveAll).unwrap();
        assert!(report.snapshot.is_some(), "{more}: {report:?}");
        assert_eq!(report.snapshots_passed_over, Vec::<String>::new(), "{more}");
        engine.stop().unwrap();
    }
    assert!(refused > 5 && started > 0, "{refused} were refused, {started} were not");
}
