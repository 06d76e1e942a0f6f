//! The gate of linked groups: consumes rows in order, lets a group through only when all of its
//! rows can be sent. What stands or falls together in the ledger does so before it is sent, too.

use std::{collections::VecDeque, sync::Arc};

use millrace_protos::REQUEST_ITEMS_MAX;

use crate::{Row, RowError, RowReason};

/// Rows of the group that is open, and why it is refused if it is.
#[derive(Default)]
pub(crate) struct GroupGate {
    open: Vec<Result<Row, RowError>>,
    refused: Option<RowReason>,
}

impl GroupGate {
    /// Takes the next row; `linked` is whether the one after it belongs to the same group.
    pub(crate) fn push(
        &mut self,
        row: Result<Row, RowError>,
        linked: bool,
        file: &Arc<str>,
        ready: &mut VecDeque<Result<Row, RowError>>,
    ) {
        if let (Err(error), None) = (&row, &self.refused) {
            self.refused = Some(RowReason::GroupMemberRefused { line: error.line });
        }
        self.open.push(row);
        if self.open.len() > REQUEST_ITEMS_MAX && self.refused.is_none() {
            self.refused = Some(RowReason::GroupTooLong { rows_max: REQUEST_ITEMS_MAX });
        }
        // A refused group need not be kept until it ends, so that a file in which every row is
        // linked by mistake still reads in flat memory.
        if let Some(reason) = &self.refused {
            let refuse = |row| refuse(row, reason, file);
            ready.extend(self.open.drain(..).map(refuse));
        }
        if !linked {
            self.finish(ready);
        }
    }

    /// The group ends here.
    pub(crate) fn finish(&mut self, ready: &mut VecDeque<Result<Row, RowError>>) {
        ready.extend(self.open.drain(..));
        self.refused = None;
    }
}

fn refuse(
    row: Result<Row, RowError>,
    reason: &RowReason,
    file: &Arc<str>,
) -> Result<Row, RowError> {
    row.and_then(|row| {
        Err(RowError {
            file: Arc::clone(file),
            line: row.line,
            column: String::new(),
            value: String::new(),
            reason: reason.clone(),
            record: row.record,
        })
    })
}
