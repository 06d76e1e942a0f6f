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
        let names = || {
            [("snapshots", ".snapshot"), ("runs", ".run")]
                .map(|(below, suffix)| files(&directory.join(below), suffix))
        };
        let there = names();
        assert!(there.iter().all(|files| files.len() > 1), "{there:?}");
        let open = fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1;
        let few = Rlimit { current: Some(open + more), ..before };
        setrlimit(Resource::Nofile, few).unwrap();
        let outcome = Engine::start(&config(directory), &ApproveAll);
        setrlimit(Resource::Nofile, before).unwrap();
        match outcome {
            Ok((engine, _)) => {
                started += 1;
                engine.stop().unwrap();
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("open files"), "{more}: {error}");
                assert_eq!(names(), there, "{more}: {error}");
            }
        }
        let aside = files(&directory.join("snapshots"), ".unusable");
        assert_eq!(aside, Vec::<std::path::PathBuf>::new(), "{more}");
    }
    assert!(refused > 5 && started > 0, "{refused} were refused, {started} were not");
}
