//! Which of several rules decides: allow before block before challenge before review.

use millrace_risk::rules::RuleAction;

use crate::{SOMEBODY, compile, input, row};

/// A rule that always holds.
fn always(name: &str, action: RuleAction, more: &str) -> String {
    let action = action.name();
    format!("[[rule]]\nname = '{name}'\nwhen = 'true'\naction = '{action}'\nreason = ''\n{more}\n")
}

/// The name of the rule that decides.
fn decides(file: &str) -> Option<String> {
    let set = compile(file);
    let hit = set.evaluate(&input(&row(&[]), &SOMEBODY))?;
    let rule = &set.rules()[usize::from(hit.rule)];
    assert_eq!(hit.action, rule.action);
    Some(rule.name.clone())
}

#[test]
fn of_each_pair_of_actions_the_stronger_decides_in_either_order() {
    use RuleAction::{Allow, Block, Challenge, Review};
    for (stronger, weaker) in [
        (Allow, Block),
        (Allow, Challenge),
        (Allow, Review),
        (Block, Challenge),
        (Block, Review),
        (Challenge, Review),
    ] {
        let (one, other) = (always("stronger", stronger, ""), always("weaker", weaker, ""));
        for file in [format!("{one}{other}"), format!("{other}{one}")] {
            assert_eq!(decides(&file).as_deref(), Some("stronger"), "{file}");
        }
    }
}

#[test]
fn of_rules_of_one_action_the_first_in_the_file_decides() {
    for action in RuleAction::ALL {
        let file = always("first", action, "") + &always("second", action, "");
        assert_eq!(decides(&file).as_deref(), Some("first"), "{action:?}");
    }
}

#[test]
fn shadow_and_disabled_rules_never_decide() {
    let file = always("shadow", RuleAction::Allow, "shadow = true")
        + &always("off", RuleAction::Block, "enabled = false")
        + &always("both", RuleAction::Block, "enabled = false\nshadow = true");
    assert_eq!(decides(&file), None);
    let file = file + &always("acts", RuleAction::Review, "");
    assert_eq!(decides(&file).as_deref(), Some("acts"));
}

#[test]
fn a_segment_narrows_a_rule() {
    for (segment, decides_it) in [("context.channel == 'card'", true), ("weekend", false)] {
        let file = always("r", RuleAction::Block, &format!("segment = \"{segment}\""));
        assert_eq!(decides(&file).is_some(), decides_it, "{segment}");
    }
}

#[test]
fn counts_are_of_the_rule_that_decides_and_of_all_in_shadow() {
    let file = always("review", RuleAction::Review, "")
        + &always("watching", RuleAction::Block, "shadow = true")
        + &always("watching too", RuleAction::Allow, "shadow = true")
        + &always("off", RuleAction::Block, "enabled = false")
        + &always("block", RuleAction::Block, "");
    let set = compile(&file);
    let mut counts = set.counts();
    let row = row(&[]);
    for _ in 0..3 {
        let hit = set.evaluate_counted(&input(&row, &SOMEBODY), &mut counts);
        assert_eq!(hit.map(|hit| hit.rule), Some(4));
    }
    assert_eq!(counts.0, [0, 3, 3, 0, 3]);
}
