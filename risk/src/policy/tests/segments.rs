//! Mistakes in segments: told by the segment and the place in its condition.

use super::super::{Compiled, PolicyDocument, SegmentDocument};
use crate::features::Catalogue;

#[test]
fn a_mistake_is_told_with_its_segment_and_its_place_there() {
    let segment = |name: &str, when: &str| SegmentDocument {
        name: name.to_owned(),
        when: when.to_owned(),
        review: Some(0.5),
        challenge: None,
        decline: None,
    };
    let right = segment("small", "amount < 10");
    let wrong = segment("large", "amonut > 500 and payer == \"x\" and weekend > 2");
    let document = PolicyDocument { segments: vec![right, wrong], ..PolicyDocument::default() };
    let nothing = |name: &str| Err(format!("{name} is not there"));
    let error = Compiled::of("p", document, &Catalogue::book(), &nothing).expect_err("is wrong");
    let expected = "segment \"large\", in its `when`: line 1, column 1: `amonut` is not a known name\n  \
                    |\n1 | amonut > 500 and";
    assert!(error.starts_with(expected), "{error}");
    assert!(error.contains("did you mean `amount`?"), "{error}");
    let other = "segment \"large\", in its `when`: line 1, column 35: `weekend` is a condition";
    assert!(error.contains(other), "{error}");
}
