//! The keys of a log, one after the other: consumes statements that name a key's successor, produces
//! the chain from the key that somebody trusts to the one that signs now. Guarantees that a key counts
//! only for trees up to the size at which it was replaced.
//!
//! A statement is a checkpoint, the last one of the old key, with two lines more, signed by both keys
//! (a C2SP signed note with two signatures):
//!
//! ```text
//! millrace-audit
//! 77
//! qqPkuVjHXL25R3TLDmVvAa2xC4RyNGCzTdqJ0Gn5Fq0=
//! time 2026-11-20T08:30:00.000000000Z
//! oldest 0
//! old-key millrace-audit+f27e9b68+AUnxoaPPGGYSnV9RQr7q7txMAO8jcjkcddUWQTz1Lt5Z
//! new-key millrace-audit+bf04824f+AcRa0rAT3lLBeD1xhfISAC5hXUE9m8VzU5E7HzrXGbZa
//!
//! — millrace-audit 8n6baG…
//! — millrace-audit vwSCT5…
//! ```

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{
    AuditError, Checkpoint,
    key::{PublicKey, SigningKey},
    layout::Layout,
};

/// That a key was replaced by another one, as both of them say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// The tree at which it was; signed by nobody alone.
    pub(super) checkpoint: Checkpoint,
    pub(super) old: PublicKey,
    pub(super) new: PublicKey,
    /// Of the old key and of the new one, over the text.
    signatures: [[u8; 64]; 2],
}

impl Statement {
    /// `at` is the last checkpoint of the old key.
    pub(super) fn sign(old: &SigningKey, new: &SigningKey, at: &Checkpoint) -> Self {
        let mut statement = Self {
            checkpoint: at.clone(),
            old: old.public().clone(),
            new: new.public().clone(),
            signatures: [[0; 64]; 2],
        };
        let text = statement.text();
        statement.signatures = [old.sign(text.as_bytes()), new.sign(text.as_bytes())];
        statement
    }

    fn text(&self) -> String {
        format!("{}old-key {}\nnew-key {}\n", self.checkpoint.text(), self.old, self.new)
    }

    /// The signed note, as it stands in the file.
    pub(super) fn to_note(&self) -> String {
        let mut note = format!("{}\n", self.text());
        for (key, signature) in [&self.old, &self.new].into_iter().zip(&self.signatures) {
            let signature = BASE64.encode([&key.id()[..], signature].concat());
            note.push_str(&format!("\u{2014} {} {signature}\n", key.name()));
        }
        note
    }

    /// Reads a note; `None` when it is not exactly what [`Self::to_note`] writes. The signatures are
    /// not checked.
    pub(super) fn parse(note: &str) -> Option<Self> {
        let lines: Vec<&str> = note.split('\n').collect();
        let [origin, size, root, time, oldest, old, new, "", by_old, by_new, ""] = lines.as_slice()
        else {
            return None;
        };
        let old: PublicKey = old.strip_prefix("old-key ")?.parse().ok()?;
        let new: PublicKey = new.strip_prefix("new-key ")?.parse().ok()?;
        let signature = |line: &str| -> Option<[u8; 64]> {
            let (_, text) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
            BASE64.decode(text).ok()?.get(4..)?.try_into().ok()
        };
        let signatures = [signature(by_old)?, signature(by_new)?];
        let first = format!("{origin}\n{size}\n{root}\n{time}\n{oldest}\n\n{by_old}\n");
        let checkpoint = Checkpoint::parse(&first, Path::new("a statement")).ok()?;
        let statement = Self { checkpoint, old, new, signatures };
        // One way to write it only: what is signed is what was read.
        (statement.to_note() == note).then_some(statement)
    }

    /// Whether both keys have signed it.
    fn check(&self) -> Result<(), String> {
        let text = self.text();
        for (key, signature, which) in
            [(&self.old, &self.signatures[0], "old"), (&self.new, &self.signatures[1], "new")]
        {
            if key.name() != self.checkpoint.origin {
                return Err(format!("its {which} key is of another log, {}", key.name()));
            }
            if !key.has_signed(text.as_bytes(), signature) {
                return Err(format!("its {which} key did not sign it: it was changed, or forged"));
            }
        }
        Ok(())
    }
}

/// The keys of a log, oldest first, as far as somebody who trusts one of them can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyChain {
    trusted: PublicKey,
    /// Each leads from one key to the next.
    statements: Vec<Statement>,
}

impl KeyChain {
    /// Follows the statements, given in order with their names, from or to the trusted key.
    ///
    /// # Errors
    /// Where the chain breaks, in words.
    pub(super) fn follow<'a>(
        trusted: &PublicKey,
        notes: impl IntoIterator<Item = (String, &'a str)>,
    ) -> Result<Self, String> {
        let mut statements: Vec<Statement> = Vec::new();
        for (name, note) in notes {
            let statement = Statement::parse(note)
                .ok_or_else(|| format!("{name}: is no statement of a new key"))?;
            statement.check().map_err(|problem| format!("{name}: {problem}"))?;
            if let Some(before) = statements.last() {
                let (expected, found) = (&before.new, &statement.old);
                if expected != found {
                    return Err(format!(
                        "{name}: replaces the key {found}, and the one before it is {expected}: a \
                         statement between them is missing"
                    ));
                }
                if statement.checkpoint.tree_size < before.checkpoint.tree_size {
                    return Err(format!(
                        "{name}: was signed over fewer entries than the one before"
                    ));
                }
            }
            statements.push(statement);
        }
        let is_known = statements.iter().any(|it| [&it.old, &it.new].contains(&trusted));
        if statements.is_empty() || is_known {
            return Ok(Self { trusted: trusted.clone(), statements });
        }
        let (first, last) = (&statements[0].old, &statements[statements.len() - 1].new);
        Err(format!(
            "keys: no statement leads from the key given, {trusted}, to those of the log, which go from \
             {first} to {last}"
        ))
    }

    /// The key that signs now.
    pub(super) fn newest(&self) -> &PublicKey {
        self.statements.last().map_or(&self.trusted, |last| &last.new)
    }

    pub(super) fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Checks that a key of the log signed it while it was the log's key.
    ///
    /// # Errors
    /// What is wrong, in words that go on after "the checkpoint".
    pub(super) fn check(&self, checkpoint: &Checkpoint) -> Result<(), String> {
        let size = checkpoint.tree_size;
        let id = u32::from_be_bytes(checkpoint.key_id);
        let mut since = 0;
        for statement in &self.statements {
            let until = statement.checkpoint.tree_size;
            if statement.old.id() == checkpoint.key_id {
                checkpoint.check(&statement.old)?;
                return in_time(id, size, since, until);
            }
            since = until;
        }
        let newest = self.newest();
        match checkpoint.check(newest) {
            Err(problem) if newest.id() != checkpoint.key_id && !self.statements.is_empty() => {
                Err(format!("{problem}, and no statement leads from one to the other"))
            }
            checked => checked.and_then(|()| in_time(id, size, since, u64::MAX)),
        }
    }
}

fn in_time(id: u32, size: u64, since: u64, until: u64) -> Result<(), String> {
    if size > until {
        return Err(format!(
            "was signed with the key {id:08x} over {size} entries, and that key was replaced at {until}"
        ));
    }
    if size < since {
        return Err(format!(
            "was signed with the key {id:08x} over {size} entries, and that key signs from {since} on"
        ));
    }
    Ok(())
}

/// The statements of a log: names and notes, in order.
pub(super) fn notes_of(layout: &Layout) -> Result<Vec<(String, String)>, AuditError> {
    let mut notes = Vec::new();
    for number in layout.list_keys()? {
        let path = layout.key_statement(number);
        let note = std::fs::read_to_string(&path).map_err(AuditError::io("read", &path))?;
        notes.push((layout.short(&path), note));
    }
    Ok(notes)
}

/// The chain of a log's keys for somebody who trusts this one. The outer error is a file that can't be
/// read, the inner one a chain that breaks.
pub(super) fn chain_of(
    layout: &Layout,
    trusted: &PublicKey,
) -> Result<Result<KeyChain, String>, AuditError> {
    let numbers = layout.list_keys()?;
    if let Some((expected, _)) =
        (1..).zip(&numbers).find(|(expected, number)| *expected != **number)
    {
        let name = layout.short(&layout.key_statement(expected));
        return Ok(Err(format!("{name}: the statement is missing")));
    }
    let notes = notes_of(layout)?;
    let notes = notes.iter().map(|(name, note)| (name.clone(), note.as_str()));
    Ok(KeyChain::follow(trusted, notes))
}
