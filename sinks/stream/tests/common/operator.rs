//! What an operator of NATS makes with `nsc`: keys, signed tokens, the server's configuration and the
//! credentials files of users.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use serde_json::{Value, json};

/// An operator with one account that may use JetStream.
pub(crate) struct Operator {
    operator: KeyPair,
    system: KeyPair,
    account: KeyPair,
}

impl Operator {
    pub(crate) fn new() -> Self {
        let [system, account] = [KeyPair::new_account(), KeyPair::new_account()];
        Self { operator: KeyPair::new_operator(), system, account }
    }

    /// What the server is configured with: whom it trusts, and the accounts, in its memory.
    pub(crate) fn config(&self) -> String {
        let of_operator = json!({ "type": "operator", "version": 2 });
        let operator = token(&self.operator, &self.operator, "operator", &of_operator);
        // The system's account may not have JetStream, and every other one has to, to use it.
        let [system, account] = [(&self.system, 0), (&self.account, -1)].map(|(account, bytes)| {
            let token = token(&self.operator, account, "account", &of_account(bytes));
            (account.public_key(), token)
        });
        format!(
            "operator: {operator}\n\
             system_account: {}\n\
             resolver: MEMORY\n\
             resolver_preload: {{ {}: {}, {}: {} }}\n",
            system.0, system.0, system.1, account.0, account.1
        )
    }

    /// The credentials file of a new user of the account.
    pub(crate) fn credentials(&self) -> String {
        let user = KeyPair::new_user();
        let of_user = json!({
            "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1,
        });
        let token = token(&self.account, &user, "user", &of_user);
        let seed = user.seed().expect("it has one");
        format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             *************************\nKeep it to yourself.\n*************************\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

fn of_account(storage_max: i64) -> Value {
    json!({
        "type": "account", "version": 2,
        "default_permissions": { "pub": {}, "sub": {} },
        "limits": {
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
            "wildcards": true, "conn": -1, "leaf": -1,
            "mem_storage": storage_max, "disk_storage": storage_max,
            "streams": storage_max, "consumer": storage_max,
        },
    })
}

/// A token that the issuer signs: what NATS calls a JWT of algorithm `ed25519-nkey`.
fn token(issuer: &KeyPair, subject: &KeyPair, name: &str, claims: &Value) -> String {
    let subject = subject.public_key();
    let head = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let body = json!({
        "jti": subject, "iat": 1_700_000_000, "iss": issuer.public_key(), "name": name,
        "sub": subject, "nats": claims,
    });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&head), encode(&body));
    let signature = issuer.sign(signed.as_bytes()).expect("it has a seed");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
