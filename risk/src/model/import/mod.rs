//! Models that were trained elsewhere: consumes the files of LightGBM (text or JSON) and XGBoost
//! (JSON), produces models that score as those libraries do.
//!
//! For one class, with numerical splits; what they can that isn't here is refused with a sentence.

mod lightgbm;
mod lightgbm_json;
mod lightgbm_text;
mod xgboost;

use serde::de::IgnoredAny;

use super::{Kind, Link, Model, ModelError, TrainingFacts, Tree};

/// Largest file that is read.
pub const BYTES_MAX: usize = 128 << 20;

/// Why a model can't be imported.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ImportError {
    /// Something else.
    #[error(
        "this is no model that can be imported: save LightGBM's as text or with `dump_model()` as \
         JSON, XGBoost's with `save_model(\"model.json\")`"
    )]
    Unknown,
    /// Larger than [`BYTES_MAX`].
    #[error("the model has {bytes} bytes, and 134,217,728 are read at most: train fewer trees")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// Not written as that library does.
    #[error(
        "the {library} model can't be read: {reason}; was it cut short or edited? Save it again"
    )]
    Malformed {
        /// Whose format it seems to be.
        library: &'static str,
        /// What is wrong, and where.
        reason: String,
    },
    /// Right, but not something that can be scored here.
    #[error("the {library} model has {what}, which can't be scored here: {advice}")]
    Unsupported {
        /// Whose format it is.
        library: &'static str,
        /// What it has.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// What was read makes no model.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// What every format comes to.
struct Imported {
    trainer: String,
    kind: Kind,
    features: Vec<String>,
    trees: Vec<Tree>,
    base: f64,
    link: Link,
}

/// The model of a file that LightGBM or XGBoost wrote. `source` is noted in its facts.
///
/// # Errors
/// When it isn't one, or has what can't be scored here.
pub fn import(bytes: &[u8], source: &str) -> Result<Model, ImportError> {
    #[derive(serde::Deserialize)]
    struct Probe {
        learner: Option<IgnoredAny>,
        tree_info: Option<IgnoredAny>,
    }
    if bytes.len() > BYTES_MAX {
        return Err(ImportError::TooLarge { bytes: bytes.len() });
    }
    if bytes.starts_with(b"{L") || bytes.starts_with(b"{i") {
        let what = "the binary form of JSON".to_owned();
        let advice = "save it with a name that ends in .json";
        return Err(ImportError::Unsupported { library: "XGBoost", what, advice });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| ImportError::Unknown)?;
    let imported = if text.starts_with("tree\n") || text.starts_with("tree\r\n") {
        lightgbm_text::read(text)?
    } else if text.trim_start().starts_with('{') {
        let probe: Probe = serde_json::from_str(text).map_err(|error| ImportError::Malformed {
            library: "JSON",
            reason: error.to_string(),
        })?;
        match probe {
            Probe { learner: Some(_), .. } => xgboost::read(text)?,
            Probe { tree_info: Some(_), .. } => lightgbm_json::read(text)?,
            _ => return Err(ImportError::Unknown),
        }
    } else {
        return Err(ImportError::Unknown);
    };
    let Imported { trainer, kind, features, trees, base, link } = imported;
    let facts = TrainingFacts { trainer, source: source.to_owned(), ..TrainingFacts::default() };
    Ok(Model::of_trees(kind, features, &trees, base, link)?.with_facts(facts))
}
