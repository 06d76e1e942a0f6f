//! Writes the descriptors of all messages to a file, for consumers in languages that make their
//! classes from them: `cargo run -p millrace-stream --example descriptors -- millrace.desc`

use std::{env, fs, io};

fn main() -> io::Result<()> {
    let path = env::args().nth(1).unwrap_or_else(|| "millrace.desc".to_owned());
    fs::write(&path, millrace_protos::FILE_DESCRIPTOR_SET)?;
    println!("wrote {path}");
    Ok(())
}
