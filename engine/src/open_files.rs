//! Open files: asks the system for as many as it lets this process have, and tells how many that is.
//!
//! Connections and the journal draw on one limit. Where connections use it up, the next segment
//! can't be created, and the engine stops; so the limit is raised, and the front door leaves some.

use std::io;

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// Beyond this no limit is asked for: Linux gives no process more (`fs.nr_open`) unless it is told to.
pub const OPEN_FILES_MAX: u64 = 1 << 20;

/// Raises the limit of open files to what the system allows, at most [`OPEN_FILES_MAX`]. Where it
/// can't be raised, the program goes on with what it has.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let Some(wanted) = raised(&limit) else {
        tracing::debug!(open_files = limit.current, "the limit of open files stays");
        return;
    };
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit }) {
        Ok(()) => {
            tracing::debug!(from = limit.current, to = wanted, "raised the limit of open files");
        }
        Err(error) => tracing::info!(
            open_files = limit.current,
            %error,
            "can't raise the limit of open files; going on with what there is"
        ),
    }
}

/// Files that this process may have open; without a limit, [`OPEN_FILES_MAX`].
pub fn open_files_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(OPEN_FILES_MAX)
}

/// Whether an error says that this process, or the system, has no open file left to give.
pub fn is_out_of_files(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// What the limit can be raised to, if that is more than it is.
fn raised(limit: &Rlimit) -> Option<u64> {
    let wanted = limit.maximum.map_or(OPEN_FILES_MAX, |maximum| maximum.min(OPEN_FILES_MAX));
    // None is no limit.
    (limit.current? < wanted).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_and_never_lowered() {
        const MAX: u64 = OPEN_FILES_MAX;
        for (current, maximum, want) in [
            (Some(1_024), Some(524_288), Some(524_288)),
            (Some(1_024), None, Some(MAX)),
            (Some(1_024), Some(MAX + 1), Some(MAX)),
            (Some(1_024), Some(1_024), None),
            (Some(MAX + 1), Some(MAX + 2), None),
            (None, None, None),
        ] {
            assert_eq!(raised(&Rlimit { current, maximum }), want, "{current:?} of {maximum:?}");
        }
    }

    /// Of this very process: the hard limit stays, so it does no harm to the other tests.
    #[test]
    fn the_system_takes_what_is_asked_for() {
        let before = getrlimit(Resource::Nofile);
        raise_open_files();
        let want = raised(&before).or(before.current).unwrap_or(OPEN_FILES_MAX);
        assert_eq!(open_files_limit(), want);
        assert_eq!(getrlimit(Resource::Nofile).maximum, before.maximum);
    }
}
