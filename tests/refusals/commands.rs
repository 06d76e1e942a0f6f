//! Commands that can't be done: consumes a place, a setting, a file or a server that is not right,
//! produces one sentence that names it and the remedy, and changes nothing.

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::fs::{FileExt as _, symlink},
};

use millrace_services::free_port;

use crate::support::{
    config::Settings,
    dice::Dice,
    orders,
    process::{Finished, millrace},
    repository,
    scratch::Scratch,
    server::Server,
    text,
};

/// Exit code 1, nothing printed, and a complaint that has these parts and is fit for people.
#[track_caller]
fn assert_complains(finished: &Finished, parts: &[&str]) {
    let Finished { code, stdout, stderr } = finished;
    assert_eq!((*code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "no {part:?} in: {stderr}");
    }
    for leak in ["panicked", "backtrace", "Some(", "Err(", "Os {", "kind:", "source:"] {
        assert!(!stderr.contains(leak), "{leak:?} is for programmers: {stderr}");
    }
}

/// The same, on one line.
#[track_caller]
fn assert_one_sentence(finished: &Finished, parts: &[&str]) {
    assert_complains(finished, parts);
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
}

fn serve(scratch: &Scratch, settings: &Settings, data_dir: &str) -> Finished {
    let config = settings.write(scratch.path());
    Server::launch(&config, &scratch.join(data_dir)).finish()
}

/// Guards against an operator who starts a second server and has to guess which port is taken.
#[test]
fn a_taken_port() {
    let scratch = Scratch::new();
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = taken.local_addr().expect("is bound").to_string();
    for (setting, what) in [("ingest.listen", "gRPC"), ("sinks.graphql.listen", "GraphQL")] {
        let finished = serve(&scratch, &Settings::dev().with(setting, address.as_str()), "data");
        let remedy = format!("choose another one ({setting})");
        assert_one_sentence(&finished, &[what, &address, "Stop what uses the port", &remedy]);
        assert!(!scratch.join("data").exists(), "nothing was touched");
    }
}

/// Guards against two processes that write one journal.
#[test]
fn a_second_process_on_one_data_directory() {
    let scratch = Scratch::new();
    let config = Settings::dev().write(scratch.path());
    let first = Server::start(&config, &scratch.join("data"));
    let second = serve(&scratch, &Settings::dev(), "data");
    let data_dir = scratch.join("data");
    assert_one_sentence(
        &second,
        &[text(&data_dir), "in use by another millrace process", "Stop that process", "data_dir"],
    );
    // The same configuration, so the same ports: that they are taken is not what is wrong.
    let address = first.url().replace("http://", "");
    let same_ports = Settings::dev().with("ingest.listen", address);
    assert_one_sentence(
        &serve(&scratch, &same_ports, "data"),
        &[text(&data_dir), "in use by another millrace process"],
    );
    first.stop();
}

/// Guards against a new, empty ledger that is begun in a backup, or within a journal.
#[test]
fn a_backup_or_a_journal_in_the_place_of_a_data_directory() {
    let scratch = Scratch::new();
    let config = Settings::dev().write(scratch.path());
    let data_dir = scratch.join("data");
    Server::start(&config, &data_dir).stop();
    let backup = scratch.join("backup");
    let back_up = |to: &str| millrace(["backup", "--data-dir", text(&data_dir), "--to", to]);
    assert_eq!(back_up(text(&backup)).code, Some(0));
    for (name, remedy) in
        [("backup", "millrace restore --from"), ("data/journal", "Name the directory above it")]
    {
        let finished = serve(&scratch, &Settings::dev(), name);
        assert_one_sentence(&finished, &[text(&scratch.join(name)), remedy]);
        assert!(!scratch.join(name).join("journal").exists(), "nothing was begun");
        let named = scratch.file(name);
        for args in
            [&["journal", "verify"][..], &["journal", "export"], &["report", "trial-balance"]]
        {
            let finished = millrace(args.iter().copied().chain(["--data-dir", &named]));
            assert_one_sentence(&finished, &[&named, "is no data directory", remedy]);
        }
    }
    let within = data_dir.join("backups/first");
    assert_one_sentence(&back_up(text(&within)), &[text(&within), "name a directory elsewhere"]);
    assert!(!data_dir.join("backups").exists(), "nothing was made");
}

/// Guards a journal and a backup against what is written among their files: an export took the place of
/// a segment, a report would have, and a backup with a restored journal in it can't be restored again.
#[test]
fn what_is_written_among_the_files_of_a_journal_or_a_backup() {
    let scratch = Scratch::new();
    let config = Settings::dev().write(scratch.path());
    let (data_dir, backup) = (scratch.file("data"), scratch.file("backup"));
    Server::start(&config, &scratch.join("data")).stop();
    millrace(["backup", "--data-dir", &data_dir, "--to", &backup]).done();
    let segment = scratch.file("data/journal/00000000000000000001.segment");
    let log = scratch.file("data/audit");
    let before = fs::read(&segment).expect("is there");
    for (args, named, within) in [
        (["journal", "export", "--data-dir", &data_dir, "--output"], "", "data/journal"),
        (["audit", "export", "--data-dir", &data_dir, "--output"], "", "data/journal"),
        (["risk", "generate", "--payments", "50", "--out"], "", "data/journal"),
        (["journal", "export", "--data-dir", &data_dir, "--output"], "data/events.csv", "data"),
        (["audit", "export", "--data-dir", &log, "--output"], "data/audit/audit.jsonl", "audit"),
        (["restore", "--from", &backup, "--json", "--to"], "backup/restored", "backup"),
        (["restore", "--from", &backup, "--json", "--to"], "data/restored", "data"),
        (["restore", "--from", &backup, "--json", "--to"], "data/journal/restored", "journal"),
        (["backup", "--data-dir", &data_dir, "--json", "--to"], "backup/deeper", "backup"),
    ] {
        let named = if named.is_empty() { segment.clone() } else { scratch.file(named) };
        let was_there = scratch.join(&named).exists();
        let finished = millrace(args.into_iter().chain([named.as_str()]));
        let parts = [&named, within, "only millrace writes", "elsewhere"];
        assert_one_sentence(&finished, &parts);
        assert_eq!(scratch.join(&named).exists(), was_there, "nothing was made");
    }
    assert!(fs::read(&segment).expect("is there") == before, "nothing was changed");
    millrace(["restore", "--from", &backup, "--to", &scratch.file("restored")]).done();
}

/// Guards against a data directory that can't be one: a file stands in its place, or in the place
/// of its parent.
#[test]
fn an_unwritable_data_directory() {
    let scratch = Scratch::new();
    scratch.write("file", "not a directory");
    for data_dir in ["file", "file/data"] {
        let finished = serve(&scratch, &Settings::dev(), data_dir);
        let named = scratch.join(data_dir);
        assert_one_sentence(&finished, &[text(&named), "Choose another data_dir"]);
    }
}

/// Guards a downgrade: a journal that a later version wrote is left alone, by `serve` and `verify`.
#[test]
fn a_journal_of_a_newer_version() {
    const VERSION_AT: u64 = 8;
    const CHECKSUM_AT: u64 = 72;
    let scratch = Scratch::new();
    let config = Settings::dev().write(scratch.path());
    let data_dir = scratch.join("data");
    Server::start(&config, &data_dir).stop();
    let segment = data_dir.join("journal/00000000000000000001.segment");
    let file = File::options().read(true).write(true).open(&segment).expect("is there");
    file.write_all_at(&9_u32.to_le_bytes(), VERSION_AT).expect("is written");
    let mut header = [0; CHECKSUM_AT as usize];
    file.read_exact_at(&mut header, 0).expect("is read");
    let checksum = crc32c::crc32c(&header).to_le_bytes();
    file.write_all_at(&checksum, CHECKSUM_AT).expect("is written");
    let before = fs::read(&segment).expect("is read");

    let remedy = "Start the millrace that wrote it, or a later one";
    for finished in [
        serve(&scratch, &Settings::dev(), "data"),
        millrace(["journal", "verify", "--data-dir", text(&data_dir)]),
    ] {
        assert_one_sentence(&finished, &[text(&segment), "version 9", "up to 1", remedy]);
    }
    assert!(fs::read(&segment).expect("is read") == before, "nothing was changed");
}

/// Guards against a read side that silently goes on in the middle of another history.
#[test]
fn a_journal_that_is_behind_its_sinks() {
    let scratch = Scratch::new();
    let config = Settings::dev().write(scratch.path());
    let data_dir = scratch.join("data");
    let server = Server::start(&config, &data_dir);
    let account = ["account", "create", "--currency", "CZK", "--target", &server.url()];
    assert_eq!(millrace(account).code, Some(0));
    server.stop();
    fs::remove_dir_all(data_dir.join("journal")).expect("is removed");

    let finished = serve(&scratch, &Settings::dev(), "data");
    assert_one_sentence(&finished, &["up to 1", "the journal ends with 0", "delete that sink's"]);
}

/// Guards against a message that tells an operator what is not so: that there is no journal, where it
/// can't be looked at, or that a place to restore to is not empty.
#[test]
fn a_place_that_can_not_be_looked_at() {
    let scratch = Scratch::new();
    let config = Settings::dev().write(scratch.path());
    let (data_dir, backup) = (scratch.file("data"), scratch.file("backup"));
    Server::start(&config, &scratch.join("data")).stop();
    millrace(["backup", "--data-dir", &data_dir, "--to", &backup]).done();
    let file = scratch.write("file", "not a directory");
    // What root can't read either.
    symlink("loop", scratch.join("loop")).expect("is made");
    for (named, parts) in [
        (file, ["there is no journal in", "Not a directory"]),
        (scratch.file("loop"), ["can't be listed", "symbolic links"]),
    ] {
        for command in ["verify", "inspect", "export"] {
            let finished = millrace(["journal", command, "--data-dir", &named]);
            assert_one_sentence(&finished, &[&[named.as_str()], &parts[..]].concat());
        }
        let days = ["--before", "2026-01-01..2026-01-02", "--now", "2026-01-03..2026-01-04"];
        let finished = millrace(["risk", "drift", "--journal", &named].into_iter().chain(days));
        assert_one_sentence(&finished, &[&[named.as_str()], &parts[..]].concat());
    }
    for (named, parts) in [
        ("file", ["Not a directory", "Name another directory, or move that file away"]),
        ("file/restored", ["Not a directory", "Name another directory, or move that file away"]),
        ("loop", ["symbolic links", "Check the disk and the path"]),
    ] {
        let finished = millrace(["restore", "--from", &backup, "--to", &scratch.file(named)]);
        assert_one_sentence(&finished, &[&[text(&scratch.join(named))], &parts[..]].concat());
        assert!(!finished.stderr.contains("not empty"), "{finished:?}");
    }
    for (named, part) in [("file", "it is no directory"), ("loop", "symbolic links")] {
        let (from, to) = (scratch.file(named), scratch.file("restored"));
        assert_one_sentence(&millrace(["restore", "--from", &from, "--to", &to]), &[&from, part]);
    }
}

/// Guards against a volume that is not mounted, and a nightly check that finds all of it right.
#[test]
fn a_journal_without_a_segment() {
    let scratch = Scratch::new();
    let (data_dir, journal) = (scratch.join("data"), scratch.join("data/journal"));
    fs::create_dir_all(&journal).expect("is made");
    for file in [None, Some("data/journal/readme.txt")] {
        file.map(|file| scratch.write(file, "The volume is mounted here."));
        for args in [
            &["journal", "verify"][..],
            &["journal", "verify", "--json"],
            &["journal", "verify", "--redecide"],
            &["journal", "inspect"],
            &["journal", "inspect", "--frames"],
            &["journal", "inspect", "--event", "1"],
            &["journal", "export"],
            &["report", "trial-balance"],
        ] {
            let finished = millrace(args.iter().copied().chain(["--data-dir", text(&data_dir)]));
            let parts = [text(&journal), "no segment", "nothing was checked", "mounted"];
            assert_one_sentence(&finished, &parts);
        }
    }
}

/// Guards against a misspelt setting that is silently its default.
#[test]
fn an_unknown_configuration_key() {
    let scratch = Scratch::new();
    for (key, nearest) in [
        ("ingest.listen_adress", "listen"),
        ("engine.segment_mb", "segment_mib"),
        ("sinks.graphql.cache_mb", "cache_mib"),
        ("data_directory", "data_dir"),
    ] {
        let finished = serve(&scratch, &Settings::dev().with(key, "x"), "data");
        let unknown = key.rsplit('.').next().expect("a key has a part");
        let (unknown, nearest) = (format!("`{unknown}`"), format!("did you mean `{nearest}`?"));
        assert_complains(&finished, &["millrace.toml", &unknown, &nearest]);
        assert!(!scratch.join("data").exists(), "nothing was touched");
    }
}

/// Guards against limits that contradict each other and a configuration that is not there.
#[test]
fn a_configuration_that_can_not_work() {
    let scratch = Scratch::new();
    let both = Settings::dev()
        .with("ingest.listen", "127.0.0.1:7999")
        .with("sinks.graphql.listen", "127.0.0.1:7999");
    let small = Settings::dev().with("engine.queue_weight_max", 100);
    for (settings, parts) in [
        (both, ["ingest.listen and sinks.graphql.listen are both", "another port"]),
        (small, ["engine.queue_weight_max is 100", "must be 8192"]),
    ] {
        assert_one_sentence(&serve(&scratch, &settings, "data"), &parts);
    }
    let missing = scratch.file("missing.toml");
    let finished = millrace(["serve", "--config", &missing]);
    let parts =
        ["can't be read", "No such file", "check the path", "configs/dev.toml has every key"];
    assert_one_sentence(&finished, &[&[missing.as_str()], &parts[..]].concat());
    let folder = scratch.join("settings.d");
    fs::create_dir(&folder).expect("is made");
    let finished = millrace(["serve", "--config", text(&folder)]);
    assert_one_sentence(&finished, &[text(&folder), "can't be read", "name a file that is in it"]);
}

/// Guards whoever sends a file of an own kind: what is missing is named, and so is what fits.
#[test]
fn a_file_without_a_mapping() {
    let scratch = Scratch::new();
    let file = scratch.write("own.csv", "ref,from,to,amount\n1,a,b,2.00\n");
    let (file, mapping) = (file.as_str(), scratch.file("own.toml"));
    // The known headers are listed, one a line.
    let finished = millrace(["submit", "--file", file]);
    let parts =
        ["ref,from,to,amount", "write a mapping for this file", "standing-orders: order_id"];
    assert_complains(&finished, &parts);
    let finished = millrace(["submit", "--file", file, "--mapping", &mapping]);
    assert_one_sentence(&finished, &[&mapping, "can't be read", "No such file", "check the path"]);
    let shipped = repository("configs/mappings/standing-orders.toml");
    let finished = millrace(["submit", "--file", file, "--mapping", text(&shipped)]);
    let parts = [file, "has no column `order_id`", "standing-orders", "ref, from, to, amount"];
    assert_one_sentence(&finished, &parts);
    let folder = scratch.file("folder.csv");
    fs::create_dir(&folder).expect("is made");
    let finished = millrace(["submit", "--file", &folder]);
    assert_one_sentence(&finished, &[&folder, "can't be read", "name a file that is in it"]);
    let finished = millrace(["demo", "--once", "--file", "missing.csv"]);
    assert_one_sentence(&finished, &["missing.csv", "can't be read", "check the path"]);
    let finished = millrace(["submit", "--file", "missing.csv"]);
    assert_one_sentence(
        &finished,
        &["missing.csv", "can't be read", "No such file", "check the path"],
    );
}

/// Guards whoever names a stream where no server is: told at once, with what to do.
#[test]
fn a_stream_that_is_not_there() {
    let url = format!("nats://127.0.0.1:{}", free_port());
    let finished = millrace(["demo", "--once", "--nats", &url]);
    let remedy =
        ["Connection refused", "Start a NATS server", "nats-server -js", "--nats of the demo"];
    assert_one_sentence(&finished, &[&["can't be used"], &remedy[..]].concat());
}

/// Guards whoever sends to a server that is down: told at once, with the place.
#[test]
fn a_server_that_is_down() {
    let scratch = Scratch::new();
    let mut dice = Dice::seeded("orders");
    let file = scratch.write("orders.csv", orders::generated(3, &mut dice));
    // Nothing listens there, nor will.
    let url = format!("http://127.0.0.1:{}", free_port());
    let id = "0190b5a4-6a00-7c3e-8f00-000000000001";
    for args in [
        vec!["submit", "--file", &file],
        vec!["submit", "--open-accounts", "--file", &file],
        vec!["account", "get", id],
        vec!["payment", "get", id],
    ] {
        let finished = millrace(args.iter().copied().chain(["--target", url.as_str()]));
        assert_one_sentence(&finished, &[&url, "nothing listens", "start Millrace there"]);
    }
    let finished = millrace(["payment", "get", id, "--target", "not a url"]);
    assert_one_sentence(&finished, &["`not a url`", "is not the URL of a server"]);
}
