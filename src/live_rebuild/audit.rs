//! The audit log: the new one takes the old one's place only if it goes on from every checkpoint that
//! was signed. Readers find it where it always is; the old one is kept as evidence.

use std::path::{Path, PathBuf};

use millrace_risk::acts::RebuildAct;
use millrace_sinks::{
    AuditConfig, AuditSink, Sink, SinkError, Switch, Switched,
    audit::{Compared, check_key, check_succession},
    rebuild::{self, Old},
};

use super::{Rebuilding, Told};

/// How the audit log is built and compared.
pub(crate) struct AuditLog {
    pub(crate) settings: AuditConfig,
    /// Where the log is.
    pub(crate) dir: PathBuf,
}

impl Rebuilding for AuditLog {
    fn name(&self) -> &'static str {
        "audit"
    }

    fn open(&mut self, dir: &Path) -> Result<Box<dyn Sink>, SinkError> {
        check_key(&self.dir, &self.settings)?;
        Ok(Box::new(AuditSink::open(dir, &self.settings)?))
    }

    /// Early, so that what is hopeless is not tried: the newest checkpoints come later.
    fn check(&self, fresh: &Path, act: &RebuildAct) -> Result<(), SinkError> {
        match act.accept_other_root {
            true => Ok(()),
            false => Ok(check_succession(&self.dir, fresh, Compared::SoFar)?),
        }
    }

    /// In the sink's thread: the old log is closed, and the new one is for a moment. A log that is
    /// refused is removed, and the old one goes on.
    fn switch(&mut self, dir: &Path, act: &RebuildAct, told: Told) -> Switch {
        let (dir, settings) = (dir.to_owned(), self.settings.clone());
        let accepted = act.accept_other_root;
        Box::new(move |new| {
            // Behind a last checkpoint.
            drop(new);
            let fresh = rebuild::fresh_dir(&dir);
            let open = || AuditSink::open(&dir, &settings);
            let compared =
                if accepted { Ok(()) } else { check_succession(&dir, &fresh, Compared::All) };
            if let Err(contradiction) = compared {
                super::discard(&fresh);
                let old = open()?;
                let _ = told.send(Err(contradiction.to_string()));
                return Ok(Switched::Refused(Box::new(old)));
            }
            let kept = kept_path(&dir);
            rebuild::swap(&dir, &Old::KeptAs(kept.clone()))?;
            let log = open()?;
            let _ = told.send(Ok(Some(kept)));
            Ok(Switched::Taken(Box::new(log)))
        })
    }
}

/// `audit-until-20261121T083000Z`, beside the log.
pub(crate) fn kept_path(dir: &Path) -> PathBuf {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let path = dir.with_file_name(format!("{name}-until-{now}"));
    let mut free = path.clone();
    for number in 2.. {
        if !free.exists() {
            break;
        }
        free = path.with_extension(number.to_string());
    }
    free
}
