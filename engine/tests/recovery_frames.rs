//! The rows of the recovery table about frames that are whole and all the same can't be used: they do
//! not continue the chain, or are of a later version. In a sealed segment and in the last one.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use support::{journal, refusal, segments, start, state_hash};

const FIRST_FRAME: usize = 128;
const VERSION: std::ops::Range<usize> = 4..8;
const FIRST_SEQ: usize = 24;
const PREVIOUS: usize = 40;
const CHECKSUM: std::ops::Range<usize> = 104..108;

/// Offsets of the frames of a segment, read by the documented layout.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (mut frames, mut at) = (Vec::new(), FIRST_FRAME);
    while at + 128 <= bytes.len() && &bytes[at..at + 4] == b"MLRF" {
        frames.push(at);
        at += (128 + number(at + 8) + number(at + 12)).next_multiple_of(64);
    }
    frames
}

/// Changes the header of a frame, and makes its checksum right again. Returns what it was.
fn change_header(segment: &Path, offset: usize, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let before = fs::read(segment).unwrap()[offset..offset + 128].to_vec();
    let mut header = before.clone();
    change(&mut header);
    let checksum = crc32c::crc32c(&header[..CHECKSUM.start]).to_le_bytes();
    header[CHECKSUM].copy_from_slice(&checksum);
    assert_ne!(header, before, "the test changes something");
    write(segment, &header, offset);
    before
}

fn write(segment: &Path, bytes: &[u8], offset: usize) {
    let file = fs::File::options().write(true).open(segment).unwrap();
    file.write_all_at(bytes, offset as u64).unwrap();
}

/// The first, a middle and the last frame of a sealed segment, and those of the last one.
fn places(directory: &Path) -> Vec<(PathBuf, usize)> {
    let segments = segments(directory);
    let chosen = [segments[1].clone(), segments[segments.len() - 1].clone()];
    let places: Vec<_> = chosen
        .into_iter()
        .flat_map(|segment| {
            let frames = frames(&fs::read(&segment).unwrap());
            assert!(frames.len() > 2, "the test needs several frames");
            let at = [0, frames.len() / 2, frames.len() - 1];
            at.map(|at| (segment.clone(), frames[at]))
        })
        .collect();
    assert_eq!(places.len(), 6);
    places
}

/// Refused with these words, at this place, and with nothing changed.
fn check_refused(directory: &Path, segment: &Path, said: &[&str]) {
    let before = fs::read(segment).unwrap();
    let error = refusal(directory);
    let named = segment.file_name().unwrap().to_str().unwrap();
    assert!(error.contains(named), "{error}");
    said.iter().for_each(|said| assert!(error.contains(said), "{said}: {error}"));
    assert_eq!(fs::read(segment).unwrap(), before, "nothing was changed");
}

type Change = fn(&mut [u8]);

#[test]
fn a_whole_frame_that_does_not_continue_the_chain_is_refused() {
    let directory = journal();
    let whole = state_hash(directory.path());
    let changes: [(&str, Change); 3] = [
        ("another frame before it", |header| header[PREVIOUS] ^= 1),
        ("a later event", |header| header[FIRST_SEQ] += 1),
        ("an earlier event", |header| header[FIRST_SEQ] -= 1),
    ];
    for (segment, offset) in places(directory.path()) {
        for (what, change) in changes {
            let before = change_header(&segment, offset, change);
            let at = format!("at offset {offset}");
            let said = ["a frame does not continue the one before it", &at];
            eprintln!("{what}: {} {at}", segment.display());
            check_refused(directory.path(), &segment, &said);
            write(&segment, &before, offset);
        }
    }
    assert_eq!(state_hash(directory.path()), whole);
    start(directory.path()).expect("all is as it was").0.stop().expect("stops");
}

/// A frame of a millrace that is newer is no torn tail, wherever it stands: it was acknowledged.
#[test]
fn a_frame_of_a_later_version_is_refused_with_its_number() {
    let directory = journal();
    let whole = state_hash(directory.path());
    for (segment, offset) in places(directory.path()) {
        let before = change_header(&segment, offset, |header| {
            header[VERSION].copy_from_slice(&9_u32.to_le_bytes());
        });
        check_refused(directory.path(), &segment, &["version 9, and this millrace reads up to 1"]);
        write(&segment, &before, offset);
    }
    assert_eq!(state_hash(directory.path()), whole);
}
