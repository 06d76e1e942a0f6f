//! The table in which one payment violates what its ways say, and what it must come to.

use millrace_ledger::RejectReason;

use crate::{
    rows::reason,
    ways::{Way, Words, is_late, union},
};

/// A payment that violates two rules at once.
pub(crate) struct Scene {
    operation: &'static str,
    says: Words,
    /// Of the first use of its id, if there is one.
    said: Option<Words>,
    world: Words,
}

impl Scene {
    /// `None` when both can't be.
    pub(crate) fn of(one: &Way, other: &Way) -> Option<Self> {
        let says = union(&one.says, &other.says)?;
        let world = union(&one.world, &other.world)?;
        let said = union(&one.said, &other.said)?;
        let operation = one.operation;
        let is_reuse = says.get("id") == Some(&"x");
        let mut said = is_reuse.then(|| laid_over(&base(operation), &said));
        if let Some(said) = said.as_mut().filter(|_| world.get("judged") == Some(&"review"))
            && said["op"] == "capture"
        {
            said.insert("flags", "resolves");
        }
        // The first use was a good payment.
        if said.as_ref().is_some_and(|said| said["op"] == "pay" && said["timeout"] != "0") {
            return None;
        }
        let says = laid_over(&base(operation), &says);
        let is = |key, value| world.get(key) == Some(&value);
        // A closed account has nothing pending, and a void leaves its hold no other end.
        let pending = |key| is(key, "pending") || is(key, "both");
        let impossible = is("payer", "closed") && pending("debits")
            || is("payee", "closed") && pending("credits")
            || is_reuse && operation == "void" && (is("was", "captured") || is("was", "expired"));
        (!impossible).then_some(Self { operation, says, said, world })
    }

    /// The fields in which the payment differs from the first use of its id, if there is one.
    pub(crate) fn differences(&self) -> Vec<RejectReason> {
        let Some(said) = &self.said else { return Vec::new() };
        let differs = |key, malformed| {
            let absent = is_late(self.operation) && matches!(self.says[key], "-" | "0");
            let taken_over = key == "from" && self.says[key] == "a"
                || key == "to" && self.says[key] == "b"
                || key == "ledger" && self.says[key] == "CZK"
                || key == "code" && self.says[key] == "1";
            let agrees = is_late(self.operation) && key != "original" && (absent || taken_over);
            self.says.get("defect") == Some(&malformed) || self.says[key] != said[key] && !agrees
        };
        let is_said = |key| self.says.get(key) == said.get(key);
        [
            (self.says["op"] != said["op"], "OPERATION_DIFFERS"),
            (!is_said("flags") || !is_said("linked"), "FLAGS_DIFFER"),
            (differs("original", "ORIGINAL_MALFORMED"), "ORIGINAL_DIFFERS"),
            (differs("from", "DEBIT_ACCOUNT_ID_MALFORMED"), "DEBIT_ACCOUNT_DIFFERS"),
            (differs("to", "CREDIT_ACCOUNT_ID_MALFORMED"), "CREDIT_ACCOUNT_DIFFERS"),
            (
                self.says["amount"] != said["amount"]
                    || self.says.get("defect") == Some(&"AMOUNT_TOO_LARGE"),
                "AMOUNT_DIFFERS",
            ),
            (differs("ledger", ""), "LEDGER_DIFFERS"),
            (differs("code", "CODE_TOO_LARGE"), "CODE_DIFFERS"),
            (self.says["timeout"] != said["timeout"], "TIMEOUT_DIFFERS"),
            (self.says["context"] != said["context"], "CONTEXT_DIFFERS"),
        ]
        .into_iter()
        .filter(|(differs, _)| *differs)
        .map(|(_, name)| reason(&format!("ID_REUSED_{name}")))
        .collect()
    }

    pub(crate) fn table(&self, expected: RejectReason) -> String {
        let mut rows = Vec::new();
        self.open(&mut rows);
        self.originals(&mut rows);
        self.first_use(&mut rows);
        self.what_became_of_the_original(&mut rows);
        self.balances(&mut rows);
        for (name, key) in [("a", "payer"), ("b", "payee")] {
            match self.world.get(key) {
                Some(&"frozen") => rows.push(format!("freeze {name} -> updated")),
                Some(_) => rows.push(format!("close {name} -> updated")),
                None => {}
            }
        }
        let open_group = self.is("end", "open");
        if self.is("mate", "fails") {
            let why = if open_group { "GROUP_MEMBER_FAILED" } else { "DEBIT_ACCOUNT_UNKNOWN" };
            rows.push(format!("pay mate-x nobody none 1 linked -> {why}"));
        }
        rows.push(format!("{} -> {}", row(&self.says), expected.upper_snake_name()));
        if open_group {
            rows.push("end".to_owned());
        }
        rows.join("\n")
    }

    /// Whether this is the original of the payment, or of the first use of its id.
    fn names(&self, original: &str) -> bool {
        self.says["original"] == original
            || self.said.as_ref().is_some_and(|said| said["original"] == original)
    }

    fn is(&self, key: &str, value: &str) -> bool {
        self.world.get(key) == Some(&value)
    }

    fn open(&self, rows: &mut Vec<String>) {
        let limit = |key, flag| if self.is(key, "none") { flag } else { "" };
        rows.push(format!("open a CZK {}", limit("funds", "no-overdraft")));
        rows.push(format!("open b CZK {}", limit("room", "no-surplus")));
        for name in ["c", "d", "bank", "s1", "s2", "s3", "s4"] {
            rows.push(format!("open {name} CZK"));
        }
        rows.push("open euro EUR".to_owned());
        rows.push("pay funds bank a 50000 -> settled 50000".to_owned());
        rows.push("pay funds-c bank c 50000 -> settled 50000".to_owned());
        rows.push("pay room b bank 50000 -> settled 50000".to_owned());
    }

    fn originals(&self, rows: &mut Vec<String>) {
        let timeout = if self.is("was", "expired") { "timeout=5" } else { "" };
        let expires = self.says["original"];
        for (name, command) in [
            ("hold", "authorize hold a b"),
            ("hold2", "authorize hold2 a b"),
            ("held", "authorize held b a"),
            ("settled", "pay settled a b"),
            ("paid", "pay paid b a"),
            ("paid2", "pay paid2 b a"),
        ] {
            if self.names(name) {
                let timeout = if name == expires { timeout } else { "" };
                let reviewed = name == expires && self.is("judged", "review");
                let amount = if reviewed { 77 } else { 100 };
                rows.push(format!("{command} {amount} {timeout} -> *"));
            }
        }
    }

    fn first_use(&self, rows: &mut Vec<String>) {
        let Some(said) = &self.said else { return };
        rows.push(format!("{} -> {}", row(said), accepted(said["op"])));
        if said.contains_key("linked") {
            rows.push("pay mate bank c 1 -> settled 1".to_owned());
        }
    }

    fn what_became_of_the_original(&self, rows: &mut Vec<String>) {
        let original = self.says["original"];
        let part = if original.starts_with("h") { "capture" } else { "refund" };
        let resolves = if self.is("judged", "review") { "resolves" } else { "" };
        let voided = self
            .said
            .as_ref()
            .is_some_and(|said| said["op"] == "void" && said["original"] == original);
        match self.world.get("was") {
            Some(&"captured") => {
                rows.push(format!("capture end {original} {resolves} -> settled *"));
            }
            Some(&"voided") if !voided => rows.push(format!("void end {original} -> voided *")),
            Some(&"refunded") => rows.push(format!("refund end {original} -> settled *")),
            // The first use of the id took as much already.
            Some(&"taken") if self.first_use_took(original, "60") => {}
            Some(&"taken") => {
                rows.push(format!("{part} part {original} 60 {resolves} -> settled 60"));
            }
            Some(&"expired") => rows.push(format!("wait 5 -> expired {original}*")),
            _ => {}
        }
        if self.is("clock", "late") {
            rows.extend(["wait 4294967295 -> expired*"; 4].map(str::to_owned));
        }
        let closed = self.is("payer", "closed") || self.is("payee", "closed");
        if closed {
            self.release_all(rows);
        }
    }

    fn first_use_took(&self, original: &str, amount: &str) -> bool {
        self.said.as_ref().is_some_and(|it| it["original"] == original && it["amount"] == amount)
    }

    /// Closing an account asks for nothing pending.
    fn release_all(&self, rows: &mut Vec<String>) {
        let first_holds = self.said.as_ref().is_some_and(|said| said["op"] == "authorize");
        for hold in ["hold", "hold2", "held"].into_iter().filter(|name| self.names(name)) {
            rows.push(format!("void undo-{hold} {hold} -> *"));
        }
        if first_holds {
            rows.push("void undo x -> voided *".to_owned());
        }
    }

    /// Fills counters, or leaves neither funds nor room. `brim` leaves room for 1.
    fn balances(&self, rows: &mut Vec<String>) {
        let closed_or = |key, value| self.is(key, "closed") || self.is(value, "none");
        match self.world.get("debits") {
            Some(fill) => {
                rows.push("pay fill0 s2 a brim -> settled *".to_owned());
                fill_up(rows, fill, "a s1", "fill1");
            }
            None if closed_or("payer", "funds") => {
                rows.push("pay drain-a a s1 up-to-payer -> settled *".to_owned());
            }
            None => {}
        }
        match self.world.get("credits") {
            Some(fill) => {
                rows.push("pay fill2 b s4 brim -> settled *".to_owned());
                fill_up(rows, fill, "s3 b", "fill3");
            }
            None if closed_or("payee", "room") => {
                rows.push("pay drain-b s3 b up-to-payee -> settled *".to_owned());
            }
            None => {}
        }
    }
}

fn fill_up(rows: &mut Vec<String>, how: &str, sides: &str, name: &str) {
    match how {
        "pending" => rows.push(format!("authorize {name} {sides} brim -> held *")),
        "posted" => rows.push(format!("pay {name} {sides} brim -> settled *")),
        _ => {
            rows.push(format!("pay {name}-half {sides} half -> settled *"));
            rows.push(format!("authorize {name} {sides} brim -> held *"));
        }
    }
}

fn accepted(operation: &str) -> &'static str {
    match operation {
        "authorize" => "held *",
        "void" => "voided *",
        _ => "settled *",
    }
}

fn base(operation: &'static str) -> Words {
    let (original, amount) = match operation {
        "capture" => ("hold", "10"),
        "void" => ("hold", "all"),
        "refund" => ("paid", "10"),
        _ => ("-", "10"),
    };
    let (from, to, ledger, code) = match is_late(operation) {
        true => ("-", "-", "-", "0"),
        false => ("a", "b", "CZK", "1"),
    };
    Words::from([
        ("op", operation),
        ("id", "x"),
        ("from", from),
        ("to", to),
        ("original", original),
        ("amount", amount),
        ("ledger", ledger),
        ("code", code),
        ("timeout", "0"),
        ("context", "0"),
    ])
}

fn laid_over(base: &Words, words: &Words) -> Words {
    let mut both = base.clone();
    both.extend(words);
    both
}

/// The payment as a row. Absent fields are said to be absent.
fn row(says: &Words) -> String {
    let id = says["id"];
    let original = if says["original"] == "itself" { id } else { says["original"] };
    let mut row = match is_late(says["op"]) {
        true => format!("{} {id} {original} from={} to={}", says["op"], says["from"], says["to"]),
        false => {
            format!("{} {id} {} {} original={original}", says["op"], says["from"], says["to"])
        }
    };
    for key in ["ledger", "code", "timeout", "context"] {
        row += &format!(" {key}={}", says[key]);
    }
    if says["amount"] != "all" {
        row += &format!(" {}", says["amount"]);
    }
    if let Some(flags) = says.get("flags") {
        row += &format!(" {flags}");
    }
    if says.contains_key("linked") {
        row += " linked";
    }
    if let Some(defect) = says.get("defect") {
        row += &format!(" defect={defect}");
    }
    row
}
