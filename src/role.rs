//! Roles: which parts of the pipeline a process runs.

use clap::ValueEnum;

/// One part of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Front door, ledger, journal, review desk
    Ingest,
    /// The journal to NATS JetStream
    Publish,
    /// Notifications
    Notify,
    /// The audit log
    Audit,
    /// The read model and its GraphQL server
    Graphql,
}

/// The parts that one process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roles(Vec<Role>);

impl Roles {
    /// These, or all of them where none is named.
    pub(crate) fn new(named: &[Role]) -> Self {
        let all = Role::value_variants().iter().copied();
        Self(all.filter(|role| named.is_empty() || named.contains(role)).collect())
    }

    pub(crate) fn all() -> Self {
        Self::new(&[])
    }

    pub(crate) fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// The roles as they are written on the command line.
    pub(crate) fn names(&self) -> String {
        let names = Role::value_variants().iter().filter(|role| self.has(**role));
        let names = names.filter_map(|role| Some(role.to_possible_value()?.get_name().to_owned()));
        names.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_role_named_is_all_roles() {
        let all = Roles::new(&[]);
        assert!(Role::value_variants().iter().all(|role| all.has(*role)));
        assert_eq!(all.names(), "ingest, publish, notify, audit, graphql");
        let two = Roles::new(&[Role::Graphql, Role::Audit]);
        assert!(two.has(Role::Audit) && !two.has(Role::Ingest));
        assert_eq!(two.names(), "audit, graphql");
    }
}
