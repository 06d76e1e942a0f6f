//! Lists: consumes values with an expiry, produces whether a value is on a list at a time.
//!
//! Guarantees that memory is bounded by [`ListLimits`], that a look-up compares the whole value (so
//! that nobody gets onto a list by a hash), and that the digest depends on what is listed, not on
//! the order. A list does nothing by itself: rules give it its effect.

use std::{collections::BTreeMap, fmt, sync::Arc};

use hashbrown::HashTable;
use millrace_ledger::Timestamp;
use serde::Serialize;

use super::{
    list_csv::ListError,
    ranges::{ADDRESS, Range, Ranges},
};

/// What a list is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListKind {
    /// Known to be right.
    Allow,
    /// Known to be wrong.
    Block,
    /// To be looked at.
    Watch,
}

/// A list's name and meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListSpec {
    /// As rules call it: letters, digits and `_`.
    pub name: String,
    /// What it is for.
    pub kind: ListKind,
    /// The texts whose values it lists, as rules call them, such as `payer` or `context.country`.
    /// A rule that looks up another is refused. Empty: any.
    pub of: Vec<String>,
}

/// Bounds of one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListLimits {
    /// Values.
    pub entries_max: usize,
    /// Bytes of values, reasons and names together.
    pub bytes_max: usize,
}

impl Default for ListLimits {
    /// A million values of 64 bytes, and room for 64 MiB of reasons.
    fn default() -> Self {
        Self { entries_max: 1_000_000, bytes_max: 128 << 20 }
    }
}

/// One line of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListEntry<'a> {
    /// What is listed; at most 255 bytes.
    pub value: &'a str,
    /// From then on it no longer is. None: never.
    pub expires_at: Option<Timestamp>,
    /// Why it is listed; at most 255 bytes.
    pub reason: &'a str,
    /// Who listed it; at most 255 bytes.
    pub added_by: &'a str,
}

/// Values with their expiry, found by hash.
pub struct List {
    spec: ListSpec,
    limits: ListLimits,
    /// All values, reasons and names, one behind the other.
    text: String,
    entries: Vec<Stored>,
    by_value: HashTable<u32>,
    /// Those that are ranges of addresses.
    ranges: Ranges,
    /// Reasons and names repeat: each is stored once.
    notes: BTreeMap<Box<str>, Piece>,
}

/// Part of [`List::text`].
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: u32,
    len: u8,
}

#[derive(Clone, Copy, Debug)]
struct Stored {
    expires_at: u64,
    value: Piece,
    reason: Piece,
    added_by: Piece,
}

/// Expires never.
const NEVER: u64 = u64::MAX;
/// Bytes of a value, a reason or a name.
pub(crate) const PIECE_MAX: usize = u8::MAX as usize;

/// The same on every machine. Whoever chooses a value can't make a list longer, so that the seed
/// need not be secret.
fn hash(value: &str) -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    hasher.write(value.as_bytes());
    hasher.finish()
}

impl List {
    /// A list with nothing on it.
    ///
    /// # Errors
    ///
    /// If its name is none that a rule could use.
    pub fn new(spec: ListSpec, limits: ListLimits) -> Result<Self, ListError> {
        let first = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
        let other = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !spec.name.as_bytes().first().is_some_and(first) || !spec.name.bytes().all(other) {
            return Err(ListError::name(&spec.name));
        }
        let bytes_max = limits.bytes_max.min(u32::MAX as usize);
        Ok(Self {
            spec,
            limits: ListLimits { bytes_max, ..limits },
            text: String::new(),
            entries: Vec::new(),
            by_value: HashTable::new(),
            ranges: Ranges::default(),
            notes: BTreeMap::new(),
        })
    }

    /// Lists a value.
    ///
    /// # Errors
    ///
    /// If it is listed already, is empty or too long, or if the list is full. The list stays as it
    /// was.
    pub fn add(&mut self, entry: &ListEntry<'_>) -> Result<(), ListError> {
        let ListEntry { value, reason, added_by, .. } = *entry;
        let full = |what: String| Err(ListError::full(&self.spec.name, &what));
        if value.is_empty() {
            return Err(ListError::entry("value", "is empty", "write what is to be listed"));
        }
        for (field, text) in [("value", value), ("reason", reason), ("added_by", added_by)] {
            if text.len() > PIECE_MAX {
                let problem = format!("is {} bytes long", text.len());
                let help = format!("{PIECE_MAX} bytes are the most that there is room for");
                return Err(ListError::entry(field, &problem, &help));
            }
        }
        let range = self.range(value)?;
        if self.find(value).is_some() {
            let problem = format!("{value:?} is listed already");
            return Err(ListError::entry("value", &problem, "keep one line for each value"));
        }
        if self.entries.len() == self.limits.entries_max {
            return full(format!("{} values", self.limits.entries_max));
        }
        if self.text.len() + value.len() + reason.len() + added_by.len() > self.limits.bytes_max {
            return full(format!("{} bytes", self.limits.bytes_max));
        }
        let index = self.entries.len() as u32;
        let stored = Stored {
            expires_at: entry.expires_at.map_or(NEVER, |at| at.0),
            value: self.append(value),
            reason: self.note(reason),
            added_by: self.note(added_by),
        };
        self.entries.push(stored);
        let (text, entries) = (&self.text, &self.entries);
        let again = |index: &u32| hash(piece(text, entries[*index as usize].value));
        self.by_value.insert_unique(hash(value), index, again);
        if let Some(range) = range {
            self.ranges.insert(range, index);
        }
        Ok(())
    }

    /// The range of addresses that a value is. Only lists that may list addresses have ranges; on one
    /// that lists nothing else, what looks like a range has to be one.
    fn range(&self, value: &str) -> Result<Option<Range>, ListError> {
        let of = &self.spec.of;
        let only = !of.is_empty() && of.iter().all(|text| text == ADDRESS);
        match Range::read(value).filter(|_| of.is_empty() || of.iter().any(|text| text == ADDRESS))
        {
            Some(Ok(range)) => Ok(Some(range)),
            Some(Err(problem)) if only => {
                let problem = format!("{value:?} {problem}");
                let help = "write a range like 10.0.0.0/8 or 2001:db8::/32";
                Err(ListError::entry("value", &problem, help))
            }
            Some(Err(_)) | None => Ok(None),
        }
    }

    fn append(&mut self, text: &str) -> Piece {
        let piece = Piece { start: self.text.len() as u32, len: text.len() as u8 };
        self.text.push_str(text);
        piece
    }

    fn note(&mut self, text: &str) -> Piece {
        if let Some(piece) = self.notes.get(text) {
            return *piece;
        }
        let piece = self.append(text);
        self.notes.insert(text.into(), piece);
        piece
    }

    fn find(&self, value: &str) -> Option<&Stored> {
        let same = |index: &u32| piece(&self.text, self.entries[*index as usize].value) == value;
        let index = self.by_value.find(hash(value), same)?;
        Some(&self.entries[*index as usize])
    }

    /// Whether a value is listed at a time: itself, or as an address in a range that is.
    #[must_use]
    pub fn contains(&self, value: &str, at: Timestamp) -> bool {
        let counts = |stored: &Stored| at.0 < stored.expires_at;
        self.find(value).is_some_and(counts)
            || self.ranges.find(value).any(|entry| counts(&self.entries[entry as usize]))
    }

    /// What is said of a value, expired or not.
    #[must_use]
    pub fn get(&self, value: &str) -> Option<ListEntry<'_>> {
        self.find(value).map(|stored| self.entry(stored))
    }

    fn entry(&self, stored: &Stored) -> ListEntry<'_> {
        ListEntry {
            value: piece(&self.text, stored.value),
            expires_at: (stored.expires_at != NEVER).then_some(Timestamp(stored.expires_at)),
            reason: piece(&self.text, stored.reason),
            added_by: piece(&self.text, stored.added_by),
        }
    }

    /// All that is listed, in the order in which it was added, expired or not. To take something
    /// off a list, make a new one of what stays.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = ListEntry<'_>> {
        self.entries.iter().map(|stored| self.entry(stored))
    }

    /// The list's name and meaning.
    #[must_use]
    pub fn spec(&self) -> &ListSpec {
        &self.spec
    }

    /// Values on it, expired or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is on it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What it takes in memory, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let notes: usize = self.notes.keys().map(|note| 64 + note.len()).sum();
        self.text.capacity()
            + self.entries.capacity() * size_of::<Stored>()
            + self.by_value.allocation_size()
            + notes
    }

    /// BLAKE3 of what it means: its name, kind, texts and entries, whatever their order.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let mut add = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        };
        add("millrace list 1");
        add(&self.spec.name);
        add(&format!("{:?}", self.spec.kind));
        let mut of: Vec<&str> = self.spec.of.iter().map(String::as_str).collect();
        of.sort_unstable();
        add(&of.join(" "));
        let mut entries: Vec<&Stored> = self.entries.iter().collect();
        entries.sort_unstable_by_key(|stored| piece(&self.text, stored.value));
        for stored in entries {
            let entry = self.entry(stored);
            add(entry.value);
            add(&stored.expires_at.to_string());
            add(entry.reason);
            add(entry.added_by);
        }
        *hasher.finalize().as_bytes()
    }
}

fn piece(text: &str, piece: Piece) -> &str {
    let start = piece.start as usize;
    &text[start..start + usize::from(piece.len)]
}

impl fmt::Debug for List {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("List").field("spec", &self.spec).field("len", &self.len()).finish()
    }
}

/// The lists that rules may name.
#[derive(Clone, Debug, Default)]
pub struct Lists(BTreeMap<String, Arc<List>>);

impl Lists {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a list; one of the same name is replaced. Sets of rules that were compiled before keep
    /// what they had.
    pub fn insert(&mut self, list: impl Into<Arc<List>>) {
        let list = list.into();
        self.0.insert(list.spec.name.clone(), list);
    }

    /// The list of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<List>> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<List>> {
        self.0.values()
    }
}
