//! An analyst at the command line: consumes what is asked of a server, produces how `millrace risk
//! …` ended there.

use super::{
    config::Settings,
    process::{Finished, millrace},
    scratch::Scratch,
    server::Server,
};

/// Features are on, and no limit binds: what is decided is decided by the policy.
pub(crate) fn settings() -> Settings {
    Settings::unlimited().with("risk.features.enabled", true)
}

impl Server {
    /// Runs `millrace risk …` against this server.
    pub(crate) fn risk(&self, args: &[&str]) -> Finished {
        let url = self.url();
        millrace(["risk"].iter().chain(args).chain(&["--target", &url]))
    }

    /// The same, signed by ann, who has her reason.
    pub(crate) fn signed(&self, args: &[&str]) -> Finished {
        self.signed_by("ann", args)
    }

    pub(crate) fn signed_by(&self, actor: &str, args: &[&str]) -> Finished {
        self.risk(&[args, &["--actor", actor, "--why", "it had to be"]].concat())
    }

    /// Puts rules in force; what else is in force stays.
    #[track_caller]
    pub(crate) fn promote_rules(&self, scratch: &Scratch, rules: &str) {
        let rules = scratch.write("rules.toml", rules);
        self.signed(&["promote", "--rules", &rules]).done();
    }
}
