//! Acts of a stopped millrace: a command that rebuilds a sink, or replaces the audit log's key, while nothing can be journaled leaves who
//! and why as a file, before it begins; the next start journals it before anything else happens.
//!
//! `DATA_DIR/pending-acts/<nanoseconds>.json` holds one act, as the journal will have it. A stop
//! between journaling and removing it leaves the file, and the act is journaled once more: both say
//! when it was done.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use millrace_engine::{Command, Submitter};
use millrace_risk::acts::{Act, ActKind};
use tokio::sync::oneshot;

/// How long the queue of an engine that just started may be full.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(10);

/// Leaves an act for the next start.
pub(crate) fn leave(dir: &Path, actor: String, why: String, mut act: ActKind) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if let Some(done_at_ns) = done_at_ns(&mut act) {
        *done_at_ns = Some(now.as_nanos() as u64);
    }
    let act = Act { actor, why, act };
    fs::create_dir_all(dir)?;
    let path = dir.join(format!("{:020}.json", now.as_nanos()));
    let fresh = path.with_extension("new");
    fs::write(&fresh, act.to_bytes())?;
    fs::File::open(&fresh)?.sync_all()?;
    fs::rename(&fresh, &path)?;
    sync_dir(dir)?;
    dir.parent().map_or(Ok(()), sync_dir)
}

/// Where an act says when it was done; `None` for one that a stopped millrace has not.
fn done_at_ns(act: &mut ActKind) -> Option<&mut Option<u64>> {
    match act {
        ActKind::RebuildSink(act) => Some(&mut act.done_at_ns),
        ActKind::RotateAuditKey(act) => Some(&mut act.done_at_ns),
        _ => None,
    }
}

/// Journals what was left, in order. What can't be journaled stays, and is told at every start.
pub(crate) async fn journal(dir: &Path, submitter: &Submitter) {
    let paths = match list(dir) {
        Ok(paths) => paths,
        Err(error) => {
            tracing::error!(dir = %dir.display(), %error, "can't look for acts to journal");
            return;
        }
    };
    for path in paths {
        match journal_one(&path, submitter).await {
            Ok(act) => tracing::warn!(
                actor = act.actor, why = act.why, act = ?act.act,
                "journaled what was done while millrace was stopped",
            ),
            Err(problem) => tracing::error!(
                file = %path.display(), problem,
                "what was done while millrace was stopped is not journaled; put the file right, or \
                 keep it as evidence in another place",
            ),
        }
    }
}

async fn journal_one(path: &Path, submitter: &Submitter) -> Result<Act, String> {
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let mut act = Act::read(&text).map_err(|error| error.to_string())?;
    // Nothing else happens without the front door, which checks what it is given.
    if !done_at_ns(&mut act.act).is_some_and(|at| at.is_some()) {
        return Err("it is not an act of a stopped millrace".to_owned());
    }
    millrace_ingest::check_signature(&act.actor, &act.why)?;
    let (reply, answer) = oneshot::channel();
    let command = Command::Act { act: text.into(), reply };
    let room = Instant::now() + ROOM_WAIT_MAX;
    submitter.submit(command, None, room).await.map_err(|error| format!("{error:?}"))?;
    match answer.await {
        Ok(Ok(Ok(_))) => {}
        Ok(Ok(Err(refused))) => return Err(refused.to_string()),
        Ok(Err(_)) | Err(_) => return Err("the engine stopped".to_owned()),
    }
    let removed = fs::remove_file(path).and_then(|()| path.parent().map_or(Ok(()), sync_dir));
    removed.map_err(|error| format!("it is journaled, but can't be removed: {error}"))?;
    Ok(act)
}

/// In the order in which they were left.
fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "json") {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}
