//! What a check of the log found: each fault names the entry or the file that it is about.

use std::fmt;

/// Most faults that are listed; the rest are counted.
pub(super) const FAULTS_LISTED: usize = 20;

/// One thing that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The entry that it is about, from 0; `None` where it is about a file.
    pub index: Option<u64>,
    /// What is wrong, in a sentence that names entry and file.
    pub text: String,
}

/// All that is wrong with a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The first ones, in the order in which they were found.
    pub listed: Vec<Fault>,
    /// How many there are.
    pub count: u64,
}

impl Faults {
    pub(super) fn add(&mut self, index: Option<u64>, text: String) {
        self.count += 1;
        if self.listed.len() < FAULTS_LISTED {
            self.listed.push(Fault { index, text });
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.listed.iter().enumerate() {
            let separator = if number == 0 { "" } else { "\n" };
            write!(f, "{separator}{}", fault.text)?;
        }
        match self.count - self.listed.len() as u64 {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}
