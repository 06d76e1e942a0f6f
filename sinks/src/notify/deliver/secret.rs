//! Secrets: consumes the name of a variable or file, produces what it holds, and guarantees that no
//! log shows it.

use std::{env, fmt, fs};

use super::{super::SecretConfig, wrong};
use crate::SinkError;

/// Shorter ones can be guessed.
const LEN_MIN: usize = 16;

/// Something that no log shows.
#[derive(Clone)]
pub(in super::super) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// Reads the secret that `setting` names; `None` where it names none.
    pub(in super::super) fn read(
        setting: &str,
        config: &SecretConfig,
    ) -> Result<Option<Self>, SinkError> {
        let (named, by_file) = (!config.env.is_empty(), !config.file.as_os_str().is_empty());
        let (found, place) = match (named, by_file) {
            (false, false) => return Ok(None),
            (true, true) => return Err(wrong(setting, "give env or file, not both")),
            (true, false) => {
                let found = env::var(&config.env).map_err(|_| {
                    let problem = format!(
                        "the environment variable {} is not set; set it to the secret",
                        config.env
                    );
                    wrong(format!("{setting}.env"), problem)
                })?;
                (found, format!("{setting}.env"))
            }
            (false, true) => {
                let found = fs::read_to_string(&config.file);
                (found.map_err(SinkError::io("read", &config.file))?, format!("{setting}.file"))
            }
        };
        let secret = found.trim();
        if secret.is_empty() {
            return Err(wrong(place, "what it names is empty; put the secret there"));
        }
        Ok(Some(Self(secret.to_owned())))
    }

    /// Reads a secret that signs or authenticates, which must be there and not be guessable.
    pub(in super::super) fn read_strong(
        setting: &str,
        config: &SecretConfig,
    ) -> Result<Option<Self>, SinkError> {
        let secret = Self::read(setting, config)?;
        match &secret {
            Some(Self(text)) if text.len() < LEN_MIN => Err(wrong(
                setting,
                format!(
                    "the secret has {} characters, and fewer than {LEN_MIN} can be guessed; make \
                     one with: openssl rand -hex 32",
                    text.len()
                ),
            )),
            _ => Ok(secret),
        }
    }

    pub(in super::super) fn reveal(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_where_it_is_named() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = |name: &str, text: &str| {
            fs::write(dir.path().join(name), text).expect("written");
            SecretConfig { file: dir.path().join(name), ..SecretConfig::default() }
        };
        let env = |name: &str| SecretConfig { env: name.into(), ..SecretConfig::default() };
        let long = file("long", " 0123456789abcdef\n");
        let both = SecretConfig { env: "HOME".into(), ..long.clone() };
        for (config, expected) in [
            (SecretConfig::default(), Ok(None)),
            (long, Ok(Some("0123456789abcdef"))),
            (file("short", "secret"), Err("fewer than 16 can be guessed")),
            (file("empty", " \n"), Err("is empty")),
            (env("MILLRACE_TEST_NOT_SET"), Err("MILLRACE_TEST_NOT_SET is not set")),
            (both, Err("not both")),
        ] {
            let found = Secret::read_strong("notify.webhook.secret", &config);
            match (&found, expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!(found.as_ref().map(Secret::reveal), expected);
                    assert!(!format!("{found:?}").contains("0123"), "{found:?}");
                }
                (Err(error), Err(said)) => {
                    let error = error.to_string();
                    assert!(error.starts_with("sinks.notify.webhook.secret"), "{error}");
                    assert!(error.contains(said), "{error}");
                }
                _ => panic!("{config:?}: {found:?}"),
            }
        }
    }
}
