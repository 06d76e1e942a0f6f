//! What is right and wrong of a configuration, and what is said of it.

use super::*;

#[test]
fn the_shipped_configurations_are_right() {
    for name in ["dev.toml", "bench.toml", "cluster.toml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs").join(name);
        let config = Config::load(Some(&path)).expect(name);
        config.check().expect(name);
    }
}

/// Each setting of notifications stands in the file as it is without it.
#[test]
fn the_development_profile_lists_the_defaults_of_notifications() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/dev.toml");
    let config = Config::load(Some(&path)).expect("dev.toml");
    assert_eq!(config.sinks.notify, millrace_sinks::NotifyConfig::default());
}

/// Declared keys, the key that the catalogue names, and what is said.
#[test]
fn a_catalogue_names_keys_that_payments_have() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("own.toml");
    for (declared, named, said) in [
        (&[][..], "wallet", None),
        (&["wallet", "scheme"], "wallet", None),
        (&["scheme"], "device", None),
        (
            &["scheme", "bin"],
            "wallet",
            Some(
                "context.wallet, which is neither device, ip, country, mcc, channel nor among \
                  risk.features.context_keys (scheme, bin)",
            ),
        ),
        (&[], "device_id", Some("context.device_id, which no payment can have: take device, ip")),
        (&["Wallet"], "device", Some("risk.features.context_keys has \"Wallet\"")),
    ] {
        let catalogue = format!(
            "version = 1\n[[entity]]\nname = \"it\"\ncontext = \"{named}\"\n\
             [[feature]]\nname = \"it.age\"\nentity = \"it\"\nstatistic = \"age\"\n"
        );
        fs::write(&path, catalogue).expect("written");
        let mut config = Config::default();
        config.risk.features.enabled = true;
        config.risk.features.catalogue = path.display().to_string();
        config.risk.features.context_keys = declared.iter().map(|key| (*key).to_owned()).collect();
        match (config.check(), said) {
            (Ok(_), None) => {}
            (Err(error), Some(said)) => {
                assert!(error.to_string().contains(said), "{error}\nwant {said}");
            }
            (found, _) => panic!("{declared:?} {named}: {found:?}"),
        }
    }
}

#[test]
fn whoever_only_answers_needs_a_read_model_that_another_process_keeps() {
    let mut config = Config::default();
    config.sinks.graphql.read_only = true;
    let error = config.check().expect_err("an embedded one is nobody else's").to_string();
    assert!(error.contains("sinks.graphql.read_only is true, and postgres.url"), "{error}");
    config.postgres.url = "postgres://me@127.0.0.1/money".to_owned();
    assert!(config.check().is_ok());
}

#[test]
fn an_unknown_channel_is_named_with_those_there_are() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("millrace.toml");
    let text = "[[sinks.notify.rules]]\non = \"held\"\nchannels = [\"fax\"]\n";
    fs::write(&path, text).expect("written");
    let error = Config::load(Some(&path)).expect_err("unknown channel").to_string();
    for part in ["millrace.toml", "unknown variant `fax`", "`webhook`", "`sms`"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("millrace.toml");
    fs::write(&path, "[ingest]\nlisten_adress = \"127.0.0.1:1\"\n").expect("written");
    let error = Config::load(Some(&path)).expect_err("unknown key").to_string();
    for part in ["millrace.toml", "unknown field `listen_adress`", "did you mean `listen`"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let mut config = Config::default();
    config.engine.queue_weight_max = 100;
    let error = config.check().expect_err("too small").to_string();
    assert!(error.contains("engine.queue_weight_max is 100"), "{error}");
    let mut config = Config::default();
    config.ingest.connections_max = 1 << 20;
    assert!(config.check().is_ok());
    config.ingest.connections_max += 1;
    let error = config.check().expect_err("more than there are files").to_string();
    assert!(error.contains("ingest.connections_max is 1048577, and must be 0 (as many"), "{error}");
    let mut config = Config::default();
    config.engine.archive_retention_days = 30;
    assert!(config.check().is_ok());
    config.engine.archive = false;
    let error = config.check().expect_err("nothing would be archived").to_string();
    assert!(error.contains("engine.archive_retention_days is 30, and must be 0"), "{error}");
    let mut config = Config::default();
    config.sinks.graphql.listen = config.ingest.listen;
    assert!(matches!(config.check(), Err(ConfigError::SameAddress { .. })));
    let mut config = Config::default();
    config.metrics.listen = config.sinks.graphql.listen;
    let error = config.check().expect_err("the same port").to_string();
    assert!(error.contains("sinks.graphql.listen and metrics.listen are both"), "{error}");
    config.metrics.enabled = false;
    config.check().expect("nobody listens there twice");
}
