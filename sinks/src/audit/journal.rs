//! Compares the log with the journal that it was made from: consumes both, produces the entries that
//! say something else. It finds what even the holder of the key can't hide.

use std::path::Path;

use millrace_engine::{
    feed::FeedEvent,
    scan::{self, JournalScan, Start},
};
use millrace_ledger::{EventSeq, Timestamp};

use super::{
    AuditError, AuditReport,
    entry::AuditKind,
    faults::Faults,
    layout::Layout,
    line::LineWriter,
    parts::{Summary, parse_line},
    segment::BlockReader,
    view::Views,
};

/// Reads events one by one.
struct Events {
    scan: JournalScan,
    frame: std::vec::IntoIter<FeedEvent>,
    time: Timestamp,
}

impl Events {
    /// The event with this sequence; `None` where the journal does not have it.
    fn find(&mut self, seq: EventSeq) -> Result<Option<FeedEvent>, AuditError> {
        loop {
            for event in self.frame.by_ref() {
                if event.event.seq() == seq {
                    return Ok(Some(event));
                }
                if event.event.seq() > seq {
                    return Ok(None);
                }
            }
            let Some(frame) = self.scan.next() else { return Ok(None) };
            let frame = frame?;
            self.time = frame.time;
            self.frame = frame.events()?.into_iter();
        }
    }
}

/// Compares every entry that is kept with its event.
pub(super) fn compare(
    layout: &Layout,
    directory: &Path,
    report: &mut AuditReport,
    faults: &mut Faults,
) -> Result<(), AuditError> {
    let (Some(first), Some(last)) = (report.first_seq, report.last_seq) else {
        report.compared = Some(0);
        return Ok(());
    };
    let end = scan::last_seq(directory)?;
    if end < last {
        let text = format!(
            "entries {} to {} are not in the journal, which ends with event {end}",
            end.0,
            last.0 - 1
        );
        faults.add(Some(end.0), text);
    } else if end > last {
        let behind = end.0 - last.0;
        report.notes.push(format!("the log ends {behind} events before the journal"));
    }
    let scan = JournalScan::open_at(directory, Start::Seq(first))?;
    let mut events = Events { scan, frame: Vec::new().into_iter(), time: Timestamp(0) };
    let mut writer = LineWriter::new();
    let mut compared = 0;
    let mut content = Vec::new();
    each_line(layout, first.0 - 1, last.0, |index, line| {
        let seq = EventSeq(index + 1);
        let quarantined =
            Summary::of(line).is_some_and(|summary| summary.kind == Some(AuditKind::Quarantined));
        if quarantined || seq > end {
            return Ok(());
        }
        let Some(event) = events.find(seq)? else {
            faults.add(Some(index), format!("entry {index} (seq {seq}) is not in the journal"));
            return Ok(());
        };
        content.clear();
        writer.put_content(&mut content, events.time, &event);
        if parse_line(line).is_none_or(|parts| parts.content != content) {
            let text = format!("entry {index} (seq {seq}) says something else than the journal");
            faults.add(Some(index), text);
        }
        compared += 1;
        Ok(())
    })?;
    report.compared = Some(compared);
    Ok(())
}

/// Hands over the lines of the entries from `first` on and below `end`.
fn each_line(
    layout: &Layout,
    first: u64,
    end: u64,
    mut line: impl FnMut(u64, &[u8]) -> Result<(), AuditError>,
) -> Result<(), AuditError> {
    let view = Views::of_files().get(layout)?;
    let sealed = view.sealed.iter().filter(|span| span.end > first && span.first < end);
    let mut readers: Vec<_> = sealed.map(|span| (span.first, Some(*span))).collect();
    readers.push((view.open.first, None));
    let mut block = Vec::new();
    for (mut index, span) in readers {
        let mut reader = match span {
            Some(span) => BlockReader::open(layout, span)?,
            None => {
                let path = layout.open_segment();
                // The view's own handle: the writer may seal this segment at any time.
                let file = view.open.file.try_clone().map_err(AuditError::io("open", &path))?;
                BlockReader::new(path, file, false)
            }
        };
        while index < end && reader.next(&mut block)? {
            for text in block.split_inclusive(|&byte| byte == b'\n') {
                if let Some(text) = text.strip_suffix(b"\n")
                    && (first..end).contains(&index)
                {
                    line(index, text)?;
                }
                index += 1;
            }
        }
    }
    Ok(())
}
