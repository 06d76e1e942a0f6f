//! Who this process says that it is: consumes the credentials file or the URL, produces what a server
//! asks for. Guarantees that no secret is ever shown.

use std::{fmt, fs, path::Path};

use async_nats::{ConnectOptions, ServerAddr};
use nkeys::{KeyPair, KeyPairType};

use crate::StreamError;

const SETTING: &str = "stream.credentials";
/// What a credentials file of NATS has above its token.
const JWT_MARK: &str = "BEGIN NATS USER JWT";
/// Characters of a seed in base 32.
const SEED_LEN: usize = 58;

/// Who this process says that it is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    UserPassword {
        user: String,
        password: String,
    },
    Token(String),
    /// The seed of a user's nkey: what the server sends is signed with it.
    Nkey(String),
    /// The text of a credentials file: a token that an account signed, and the seed of its user.
    Jwt(String),
}

impl Credentials {
    /// Of the file that the settings name.
    pub(crate) fn read(path: &Path) -> Result<Self, StreamError> {
        let unfit = |problem| StreamError::File { key: SETTING, path: path.to_owned(), problem };
        let text = fs::read_to_string(path).map_err(|error| unfit(error.to_string()))?;
        Self::parse(&text).map_err(unfit)
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.contains(JWT_MARK) {
            return match ConnectOptions::with_credentials(text) {
                Ok(_) => Ok(Self::Jwt(text.to_owned())),
                Err(error) => {
                    Err(format!("{error}; make one with `nsc generate creds`, and change nothing"))
                }
            };
        }
        let secret = text.lines().next().unwrap_or_default().trim();
        if secret.is_empty() {
            return Err("its first line is empty".to_owned());
        }
        if let Some((user, password)) = secret.split_once(':') {
            return Ok(Self::UserPassword { user: user.into(), password: password.into() });
        }
        match KeyPair::from_seed(secret).map(|pair| pair.key_pair_type()) {
            Ok(KeyPairType::User) => Ok(Self::Nkey(secret.to_owned())),
            Ok(_) => {
                Err("it holds the seed of an nkey that is not a user's, which starts with SU; \
                 make one with `nk -gen user`"
                    .to_owned())
            }
            Err(_) if looks_like_seed(secret) => {
                Err("it looks like the seed of an nkey, and its checksum is wrong".to_owned())
            }
            Err(_) => Ok(Self::Token(secret.to_owned())),
        }
    }

    /// Of a server's address: a user and a password, or a token alone.
    pub(crate) fn of_address(address: &ServerAddr) -> Option<Self> {
        let user = percent_decoded(address.username()?);
        Some(match address.password() {
            Some(password) => Self::UserPassword { user, password: percent_decoded(password) },
            None => Self::Token(user),
        })
    }

    /// Adds them to what a client is made with.
    pub(crate) fn put(self, options: ConnectOptions) -> ConnectOptions {
        match self {
            Self::UserPassword { user, password } => options.user_and_password(user, password),
            Self::Token(token) => options.token(token),
            Self::Nkey(seed) => options.nkey(seed),
            Self::Jwt(text) => options.credentials(&text).expect("it was parsed before"),
        }
    }

    /// What they are, for errors.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::UserPassword { .. } => "a user and password",
            Self::Token(_) => "a token",
            Self::Nkey(_) => "an nkey",
            Self::Jwt(_) => "the token of a credentials file",
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

fn looks_like_seed(text: &str) -> bool {
    let in_base_32 = |byte: u8| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte);
    text.len() == SEED_LEN && text.starts_with("SU") && text.bytes().all(in_base_32)
}

/// What a part of a URL says. What can't be read stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = (byte == b'%').then(|| after.get(..2)).flatten();
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_what_it_holds() {
        let user = KeyPair::new_user().seed().expect("has one");
        let account = KeyPair::new_account().seed().expect("has one");
        let mut mistyped = user.clone().into_bytes();
        mistyped[20] = if mistyped[20] == b'A' { b'B' } else { b'A' };
        let mistyped = String::from_utf8(mistyped).expect("text");
        let file = format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.eyJ1.c2ln\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{user}\n------END USER NKEY SEED------\n"
        );
        let without_seed =
            "-----BEGIN NATS USER JWT-----\neyJ0.e.c\n------END NATS USER JWT------\n";
        let pair = Credentials::UserPassword { user: "ann".into(), password: "a:b".into() };
        let table: &[(&str, Result<Credentials, &str>)] = &[
            ("ann:a:b\n", Ok(pair)),
            (" s3cret \nmore", Ok(Credentials::Token("s3cret".into()))),
            (&user, Ok(Credentials::Nkey(user.clone()))),
            (&file, Ok(Credentials::Jwt(file.clone()))),
            ("", Err("first line is empty")),
            (&account, Err("not a user's")),
            (&mistyped, Err("checksum is wrong")),
            (without_seed, Err("nsc generate creds")),
        ];
        for (text, expected) in table {
            match (Credentials::parse(text), expected) {
                (Ok(found), Ok(expected)) => assert!(found == *expected, "{text}: {found:?}"),
                (Err(found), Err(said)) => {
                    assert!(found.contains(said), "{found}");
                    assert!(!found.contains(&account[4..]), "no secret is shown: {found}");
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn an_address_may_hold_them() {
        let pair = |user: &str, password: &str| {
            Some(Credentials::UserPassword { user: user.into(), password: password.into() })
        };
        for (url, expected) in [
            ("nats://h:1", None),
            ("nats://ann:secret@h:1", pair("ann", "secret")),
            ("tls://ann:a%3Ab%40c%zz@h:1", pair("ann", "a:b@c%zz")),
            ("nats://t0ken@h:1", Some(Credentials::Token("t0ken".into()))),
        ] {
            let address = url.parse().expect("an address");
            assert!(Credentials::of_address(&address) == expected, "{url}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret = Credentials::UserPassword { user: "ann".into(), password: "s3cret".into() };
        assert_eq!(format!("{secret:?}"), "a user and password");
    }
}
