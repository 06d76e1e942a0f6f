//! What a check starts from: consumes the log's directory, which may be being written, and produces one
//! consistent set of segments and of checkpoints whose signatures hold.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _},
    thread,
    time::Duration,
};

use super::{
    AuditError, Checkpoint, VerifyOptions,
    chain::KeyChain,
    faults::Faults,
    layout::{Layout, Span},
    parts::parse_line,
    reader::read_checkpoint,
    spine::Signed,
};

/// Tries to see the log between two steps of its writer, and the wait between them.
const TRIES: usize = 200;
const WAIT: Duration = Duration::from_millis(5);
/// Longer than any line of the log.
const LINE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Evidence {
    /// The newest checkpoint. Everything that it covers is in the segments, or was dropped.
    pub(super) checkpoint: Checkpoint,
    /// It, and the others to pass on the way: their signatures hold.
    pub(super) signed: Vec<Signed>,
    /// Sizes at which checkpoints were kept.
    pub(super) kept_sizes: Vec<u64>,
    /// Sealed segments, in order, without those that retention is removing.
    pub(super) segments: Vec<Span>,
    /// The open segment as it was when the others were listed. It may have been sealed since.
    pub(super) open: Option<File>,
    /// Its first line, without its line feed; empty while there is none.
    pub(super) open_line: Vec<u8>,
}

/// Gathers the evidence. A newest checkpoint that can't be believed ends it: that is the fault.
pub(super) fn gather(
    layout: &Layout,
    options: &VerifyOptions,
    keys: &KeyChain,
    faults: &mut Faults,
) -> Result<Evidence, AuditError> {
    let mut tries = TRIES;
    loop {
        tries -= 1;
        let checkpoint = newest_checkpoint(layout, keys, faults)?;
        let (open, open_line) = open_segment(layout)?;
        let listing = layout.list()?;
        let end = listing.segments.last().map(|listed| listed.span.end);
        let first = parse_line(&open_line).and_then(|parts| parts.seq.0.checked_sub(1));
        // Sealed after it was opened, or not made yet: the writer is between two steps.
        let between = open.is_none() || first.zip(end).is_some_and(|(first, end)| first < end);
        if between && tries > 0 {
            thread::sleep(WAIT);
            continue;
        }
        for stray in &listing.strays {
            let name = layout.short(stray);
            faults.add(None, format!("{name}: belongs to nothing that the log knows of"));
        }
        let (kept_sizes, strays) = layout.list_checkpoints()?;
        for stray in strays {
            let name = layout.short(&stray);
            faults.add(None, format!("{name}: is not named as a checkpoint is"));
        }
        let signed = signed(layout, options, keys, &checkpoint, &kept_sizes, faults)?;
        let segments = listing.segments.iter().map(|listed| listed.span);
        let segments = segments.filter(|span| span.end > checkpoint.oldest).collect();
        return Ok(Evidence { checkpoint, signed, kept_sizes, segments, open, open_line });
    }
}

fn newest_checkpoint(
    layout: &Layout,
    keys: &KeyChain,
    faults: &mut Faults,
) -> Result<Checkpoint, AuditError> {
    let problem = match read_checkpoint(&layout.checkpoint()) {
        Ok(checkpoint) => match keys.check(&checkpoint) {
            Ok(()) => return Ok(checkpoint),
            Err(problem) => format!("checkpoint: {problem}"),
        },
        Err(AuditError::Checkpoint { problem, .. }) => {
            format!("checkpoint: not a checkpoint: {problem}")
        }
        Err(error) => return Err(error),
    };
    faults.add(None, problem);
    Err(AuditError::Faulty(std::mem::take(faults)))
}

fn open_segment(layout: &Layout) -> Result<(Option<File>, Vec<u8>), AuditError> {
    let path = layout.open_segment();
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, Vec::new())),
        Err(error) => return Err(AuditError::io("open", path)(error)),
    };
    let mut line = Vec::new();
    let read = BufReader::new(&file).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
    read.and_then(|_| file.rewind()).map_err(AuditError::io("read", &path))?;
    match line.pop() {
        Some(b'\n') => Ok((Some(file), line)),
        _ => Ok((Some(file), Vec::new())),
    }
}

/// The checkpoints that roots are compared with: those whose signature holds.
fn signed(
    layout: &Layout,
    options: &VerifyOptions,
    keys: &KeyChain,
    newest: &Checkpoint,
    kept_sizes: &[u64],
    faults: &mut Faults,
) -> Result<Vec<Signed>, AuditError> {
    let mut signed = vec![Signed { name: "checkpoint".to_owned(), checkpoint: newest.clone() }];
    for &size in kept_sizes {
        let path = layout.checkpoint_of(size);
        let name = layout.short(&path);
        if size > newest.tree_size {
            // Signed meanwhile: then the newest one is of that size by now, too.
            if read_checkpoint(&layout.checkpoint())?.tree_size < size {
                let older = newest.tree_size;
                let text = format!(
                    "checkpoint: is of {older} entries, and {name} was signed later: an older one \
                     was put back"
                );
                faults.add(None, text);
            }
            continue;
        }
        match read_checkpoint(&path) {
            Ok(checkpoint) if checkpoint.tree_size != size => {
                let text = format!("{name}: is the checkpoint of {} entries", checkpoint.tree_size);
                faults.add(None, text);
            }
            Ok(checkpoint) => signed.push(Signed { name, checkpoint }),
            Err(AuditError::Checkpoint { problem, .. }) => {
                faults.add(None, format!("{name}: not a checkpoint: {problem}"));
            }
            Err(error) => return Err(error),
        }
    }
    for (name, checkpoint) in &options.kept {
        signed.push(Signed { name: name.clone(), checkpoint: checkpoint.clone() });
    }
    signed.retain(|Signed { name, checkpoint }| match keys.check(checkpoint) {
        Ok(()) => true,
        Err(problem) => {
            faults.add(None, format!("{name}: {problem}"));
            false
        }
    });
    // The trees at which keys were replaced have to be passed, too.
    let name = |number: usize| layout.short(&layout.key_statement(number as u64 + 1));
    let statements = keys.statements().iter().enumerate();
    signed.extend(statements.map(|(number, statement)| Signed {
        name: name(number),
        checkpoint: statement.checkpoint.clone(),
    }));
    Ok(signed)
}
