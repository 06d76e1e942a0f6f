//! The servers of a URL: consumes `stream.url`, produces addresses without credentials, and the
//! credentials that stood in it. Guarantees that what is shown and logged of it holds no secret.

use async_nats::ServerAddr;

use crate::{StreamError, credentials::Credentials};

const SETTING: &str = "stream.url";

/// Where to connect.
#[derive(Debug)]
pub(crate) struct Servers {
    /// Without credentials, because the client logs them.
    pub(crate) addresses: Vec<ServerAddr>,
    pub(crate) credentials: Option<Credentials>,
}

impl Servers {
    pub(crate) fn parse(url: &str) -> Result<Self, StreamError> {
        let wrong = |must_be| StreamError::Setting {
            key: SETTING,
            value: if url.is_empty() { "empty".to_owned() } else { shown(url) },
            must_be,
        };
        let addresses = url.split(',').map(|url| {
            let address = url.trim().parse::<ServerAddr>().ok()?;
            let fits = matches!(address.scheme(), "nats" | "tls") && !address.host().is_empty();
            fits.then_some(address)
        });
        let addresses: Option<Vec<_>> = addresses.collect();
        let must_be = "nats://HOST:PORT or tls://HOST:PORT, or several with commas between them";
        let addresses = addresses.ok_or_else(|| wrong(must_be))?;
        let mut named = addresses.iter().filter_map(Credentials::of_address);
        let credentials = named.next();
        if named.any(|other| Some(&other) != credentials.as_ref()) {
            return Err(wrong("with one user and password for all servers"));
        }
        let addresses = addresses.into_iter().map(without_credentials).collect();
        Ok(Self { addresses, credentials })
    }
}

fn without_credentials(address: ServerAddr) -> ServerAddr {
    let mut url = address.into_inner();
    // Only URLs without a host refuse it, and they have no credentials.
    let _ = (url.set_username(""), url.set_password(None));
    ServerAddr::from_url(url).expect("it was one before")
}

/// The servers of a URL, for logs and errors.
pub(crate) fn shown(url: &str) -> String {
    let server = |url: &str| match url.trim().split_once("://") {
        Some((_, rest)) => rest.rsplit('@').next().unwrap_or(rest).to_owned(),
        None => url.rsplit('@').next().unwrap_or(url).trim().to_owned(),
    };
    url.split(',').map(server).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_credentials_are_shown() {
        for (url, server) in [
            ("nats://127.0.0.1:4222", "127.0.0.1:4222"),
            ("tls://ann:secret@nats.bank:4222", "nats.bank:4222"),
            ("nats://a:1, nats://token@b:2", "a:1, b:2"),
            ("token@c:3", "c:3"),
        ] {
            assert_eq!(shown(url), server);
            let servers = Servers::parse(url).expect("right");
            let debug = format!("{servers:?}");
            assert!(!debug.contains("secret") && !debug.contains("token@"), "{debug}");
        }
    }

    #[test]
    fn every_server_is_an_address_and_all_have_one_user() {
        for (url, addresses) in [
            ("nats://a:1,tls://b", "nats://a:1 tls://b"),
            ("a:1, b:2", "nats://a:1 nats://b:2"),
            ("nats://ann:secret@a:1,nats://b:2", "nats://a:1 nats://b:2"),
        ] {
            let servers = Servers::parse(url).expect("right");
            let found: Vec<_> = servers.addresses.iter().map(ServerAddr::as_url_str).collect();
            assert_eq!(found.join(" "), addresses);
            assert_eq!(servers.credentials.is_some(), url.contains("ann"));
        }
        for (url, said) in [
            ("", "stream.url is empty"),
            ("nats://a:1,", "with commas between them"),
            ("http://ann:secret@a:1", "stream.url is a:1, and must be nats://"),
            ("ws://a:1", "tls://HOST:PORT"),
            ("nats://ann:x@a:1,nats://ann:y@b:2", "one user and password for all"),
        ] {
            let error = Servers::parse(url).expect_err(said).to_string();
            assert!(error.contains(said) && !error.contains("secret"), "{error}");
        }
    }
}
