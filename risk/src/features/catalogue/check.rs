//! Checks: consumes the fields of a catalogue, produces entities and features that can be computed.

use toml::de::DeTable;

use super::{
    CatalogueError, ENTITIES_MAX, Entity, EntitySource, Feature, Form, Span, Statistic,
    read::{Fields, Problems, advice},
    statistic::Over,
};
use crate::features::{profiles::Plan, span::BUCKETS_MAX};

const VERSION: f64 = 1.0;
const FEATURES_MAX: usize = 1_000;
const NAME_LEN_MAX: usize = 63;
/// Snapshots number what is kept on demand in one byte, behind the kinds of entities.
const ON_DEMAND_MAX: usize = 200;
/// Parts of a window that are usual: a rule's hour is exact to two minutes.
const RING_PARTS: u64 = 24;
/// Buckets of payments that wait to be honest, where the catalogue does not say their length.
const HONEST_PARTS: u64 = 28;
/// Sketches take eight words each, so a window has fewer.
const SKETCH_PARTS: u64 = 6;

pub(super) fn catalogue(toml: &str) -> Result<(Vec<Entity>, Vec<Feature>), CatalogueError> {
    let problems = Problems::new(toml);
    let table = match DeTable::parse(toml) {
        Ok(table) => table,
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            problems.add(at, "", format!("this is not TOML: {}", error.message()));
            return problems.none().map(|()| (Vec::new(), Vec::new()));
        }
    };
    let file = Fields::new(table.get_ref(), table.span(), &problems);
    if file.number("version") != Some(VERSION) {
        file.problem("version", "version = 1 must be there: it is what this program reads");
    }
    let entities = entities(&file);
    let features = features(&file, &entities);
    for (place, entity) in entities.iter().enumerate() {
        let is_used =
            |feature: &Feature| feature.entity == Some(place) && feature.statistic.is_of_runs();
        if entity.honest_after.is_some() && !features.iter().any(is_used) {
            let name = &entity.name;
            let what = format!(
                "honest_after of {name:?} is used by none of its features: it is for \
                 fraud_average, fraud_run_age, fraud_run_gap and since_honest"
            );
            file.problem("entity", what);
        }
    }
    file.finish();
    problems.none()?;
    if let Err((place, what)) = Plan::compile(&entities, &features, |_| true) {
        problems.add(0, &entities[place].name, format!("its features keep too much: {what}"));
        problems.none()?;
    }
    Ok((entities, features))
}

fn entities(file: &Fields<'_>) -> Vec<Entity> {
    let mut entities: Vec<Entity> = Vec::new();
    for fields in file.tables("entity") {
        let name = name(&fields, &entities, |entity| &entity.name);
        let source = source(&fields, &name, &entities);
        let entities_max = fields.number("entities_max").and_then(|max| {
            let whole = max >= 1.0 && max <= f64::from(u32::MAX >> 1) && max.fract() == 0.0;
            if !whole {
                fields
                    .problem("entities_max", "entities_max must be a whole number, 1 to 2^31 - 1");
            }
            whole.then_some(max as u32)
        });
        let (honest_after, honest_bucket) = honest(&fields);
        fields.finish();
        entities.push(Entity { name, source, entities_max, honest_after, honest_bucket });
    }
    if entities.len() > ENTITIES_MAX {
        file.problem("entity", format!("there are more than {ENTITIES_MAX} kinds of entities"));
    }
    entities
}

/// After which time payments are honest, and the length of the buckets in which they wait.
fn honest(fields: &Fields<'_>) -> (Option<Span>, Span) {
    let (after, bucket) = (fields.span("honest_after"), fields.span("honest_bucket"));
    let Some(after) = after else {
        if fields.has("honest_bucket") {
            fields.problem("honest_bucket", "honest_bucket has no meaning without honest_after");
        }
        return (None, Span::ZERO);
    };
    let Span::Seconds(seconds @ 1..) = after else {
        fields.problem("honest_after", "honest_after must be longer than nothing, and must end");
        return (None, Span::ZERO);
    };
    let bucket = bucket.unwrap_or(Span::Seconds(seconds.div_ceil(HONEST_PARTS)));
    let fits = |length: u64| length <= seconds && seconds.div_ceil(length) <= BUCKETS_MAX;
    if !matches!(bucket, Span::Seconds(length @ 1..) if fits(length)) {
        let what = format!("honest_bucket must fit into honest_after, {BUCKETS_MAX} times at most");
        fields.problem("honest_bucket", what);
        return (None, Span::ZERO);
    }
    (Some(after), bucket)
}

fn source(fields: &Fields<'_>, name: &str, entities: &[Entity]) -> EntitySource {
    let (pair, context) = (fields.texts("of"), fields.text("context"));
    match (name, pair, context) {
        ("payer", None, None) => EntitySource::Payer,
        ("payee", None, None) => EntitySource::Payee,
        ("payer" | "payee", ..) => {
            fields.problem(
                "of",
                "payer and payee are the payment's accounts: of and context can't be said",
            );
            EntitySource::Payer
        }
        (_, None, context) => EntitySource::Context(context.unwrap_or(name).to_owned()),
        (_, Some(of), None) if of.len() == 2 => {
            let places: Vec<_> =
                of.iter().filter_map(|of| place(fields, "of", of, entities, |e| &e.name)).collect();
            match places[..] {
                [first, second] => EntitySource::Pair(first, second),
                _ => EntitySource::Payer,
            }
        }
        _ => {
            fields
                .problem("of", "of must be two kinds of entities, and leaves no room for context");
            EntitySource::Payer
        }
    }
}

fn features(file: &Fields<'_>, entities: &[Entity]) -> Vec<Feature> {
    let mut features: Vec<Feature> = Vec::new();
    let tables = file.tables("feature");
    if tables.is_empty() || tables.len() > FEATURES_MAX {
        file.problem("feature", format!("there must be 1 to {FEATURES_MAX} features"));
    }
    for fields in tables {
        let name = name(&fields, &features, |feature| &feature.name);
        let feature = feature(&fields, name, entities, &features);
        if let Some(feature) = &feature {
            check_demand(&fields, feature, &features);
        }
        fields.finish();
        features.extend(feature);
    }
    if features.iter().filter(|feature| feature.on_demand).count() > ON_DEMAND_MAX {
        let what = format!("there are more than {ON_DEMAND_MAX} features that are on_demand");
        file.problem("feature", what);
    }
    features
}

/// Letters a to z, digits, `_` and `.`, from a letter on: what the language of rules reads.
fn name<T>(fields: &Fields<'_>, before: &[T], name_of: impl Fn(&T) -> &str) -> String {
    let name = fields.text("name").unwrap_or_default();
    let right = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
    if !name.starts_with(|c: char| c.is_ascii_lowercase())
        || !name.chars().all(right)
        || name.len() > NAME_LEN_MAX
    {
        let what = "name must have 1 to 63 of a-z, 0-9, _ and . and begin with a letter";
        fields.problem("name", what);
    } else if before.iter().any(|other| name_of(other) == name) {
        fields.problem("name", "this name is there twice");
    }
    name.to_owned()
}

fn place<T>(
    fields: &Fields<'_>,
    key: &'static str,
    name: &str,
    among: &[T],
    name_of: impl Fn(&T) -> &String,
) -> Option<usize> {
    let found = among.iter().position(|one| name_of(one) == name);
    if found.is_none() {
        let advice = advice(name, among.iter().map(name_of));
        fields.problem(key, format!("{key} {name:?} is not there, or only further below{advice}"));
    }
    found
}

fn feature(
    fields: &Fields<'_>,
    name: String,
    entities: &[Entity],
    before: &[Feature],
) -> Option<Feature> {
    // All fields are asked for before anything is given up, or they would count as unknown.
    let statistic = fields.one_of("statistic", Statistic::names(), Statistic::named);
    let forms = Form::NAMES.map(|(name, _)| name);
    let form_named = |text: &str| Form::NAMES.into_iter().find(|(name, _)| *name == text);
    let form = fields.one_of("form", forms, |text| form_named(text).map(|(_, form)| form));
    let entity =
        fields.text("entity").map(|name| place(fields, "entity", name, entities, |e| &e.name));
    let (window, delay, bucket) =
        (fields.span("window"), fields.span("delay"), fields.span("bucket"));
    let (of, current) = (fields.texts("of"), fields.flag("current"));
    let (above, times, usual) =
        (fields.number("above"), fields.number("times"), fields.span("usual"));
    let except =
        fields.text("except").and_then(|name| place(fields, "except", name, entities, |e| &e.name));
    let step = fields.number("step");
    let (prior, prior_weight) = (fields.number("prior"), fields.number("prior_weight"));
    let unit = fields.text("unit");
    let on_demand = fields.flag("on_demand").unwrap_or(false);
    let description = fields.text("description").unwrap_or_default();
    let missing = fields.number("missing").map_or(f32::NAN, |missing| missing as f32);
    let Some(statistic) = statistic else {
        if !fields.has("statistic") {
            fields.problem("statistic", "a statistic is missing, such as \"count\"");
        }
        return None;
    };
    let of = match statistic {
        Statistic::Distinct => places(fields, of, 1, entities, |entity| &entity.name),
        Statistic::Quotient => places(fields, of, 2, before, |feature| &feature.name),
        _ => Some(Vec::new()),
    };
    let mut feature = Feature {
        name,
        entity: entity.flatten(),
        statistic,
        window,
        form: form.unwrap_or(Form::Decayed),
        bucket: bucket.unwrap_or(Span::ZERO),
        delay: delay.unwrap_or(Span::ZERO),
        current: current.unwrap_or(!statistic.compares()),
        of: of?,
        above: above.unwrap_or(0.0),
        times: times.unwrap_or(0.0),
        usual: usual.or(window).unwrap_or(Span::ZERO),
        except,
        step: step.unwrap_or(0.5),
        prior: prior.unwrap_or(0.0),
        prior_weight: prior_weight.unwrap_or(0.0),
        unit: unit.unwrap_or(statistic.unit()).to_owned(),
        description: description.to_owned(),
        missing,
        on_demand,
    };
    check_fields(fields, &feature);
    check_window(fields, &mut feature);
    Some(feature)
}

fn places<T>(
    fields: &Fields<'_>,
    of: Option<Vec<&str>>,
    count: usize,
    among: &[T],
    name_of: impl Fn(&T) -> &String,
) -> Option<Vec<usize>> {
    match of {
        Some(of) if of.len() == count => {
            of.iter().map(|name| place(fields, "of", name, among, &name_of)).collect()
        }
        _ => {
            let what = match count {
                1 => "of must name the kind of entity that is counted, such as of = \"payee\"",
                _ => "of must name two features further above, such as of = [\"a\", \"b\"]",
            };
            fields.problem("of", what);
            None
        }
    }
}

/// Which fields must be there, and which have no meaning.
fn check_fields(fields: &Fields<'_>, feature: &Feature) {
    let statistic = feature.statistic;
    let over = statistic.over();
    let windowed = over == Over::Window;
    let share = matches!(
        statistic,
        Statistic::FraudShare | Statistic::ShareAbove | Statistic::ShareUnusual
    );
    let above = matches!(statistic, Statistic::CountAbove | Statistic::ShareAbove);
    let unusual = matches!(statistic, Statistic::CountUnusual | Statistic::ShareUnusual);
    let of = matches!(statistic, Statistic::Distinct | Statistic::Quotient);
    let excepts = statistic.is_of_runs() && fields.has("except");
    let ratios = statistic == Statistic::MaxRatio;
    // Field, whether it must be there, whether it may.
    for (key, must, may) in [
        ("entity", windowed || over == Over::Entity, false),
        ("window", windowed, false),
        ("of", of, false),
        ("above", above, false),
        ("times", unusual || excepts, false),
        ("usual", excepts, unusual || ratios),
        ("except", false, statistic.is_of_runs()),
        ("step", false, statistic == Statistic::FraudAverage),
        ("prior", false, share),
        ("prior_weight", false, share),
        ("form", false, windowed),
        ("delay", false, windowed),
        ("bucket", false, windowed),
        ("current", false, windowed),
    ] {
        let name = statistic.name();
        match fields.has(key) {
            false if must => fields.problem(key, format!("{name} needs {key}")),
            true if !must && !may => fields.problem(key, format!("{name} has no use for {key}")),
            _ => {}
        }
    }
    if !(0.0..=1.0).contains(&feature.step) {
        fields.problem("step", "step must be 0 to 1");
    }
    if !(0.0..=1.0).contains(&feature.prior) || feature.prior_weight < 0.0 {
        fields.problem("prior", "prior must be a share of 0 to 1, and prior_weight 0 or more");
    }
}

/// What is kept on demand begins when it is demanded: nothing else may be made of it before.
fn check_demand(fields: &Fields<'_>, feature: &Feature, before: &[Feature]) {
    let statistic = feature.statistic;
    // An entity would seem new whenever its age is demanded; runs are made of all labels.
    let always =
        statistic.is_of_runs() || matches!(statistic, Statistic::Age | Statistic::Quotient);
    if feature.on_demand && always {
        let what = format!("{} has to be kept always: leave on_demand out", statistic.name());
        fields.problem("on_demand", what);
    }
    if statistic == Statistic::Quotient
        && let Some(part) = feature.of.iter().map(|place| &before[*place]).find(|it| it.on_demand)
    {
        let what = format!("{:?} is on_demand, and a quotient is kept always", part.name);
        fields.problem("of", what);
    }
}

/// Whether the form can give the statistic over this window; fills in the bucket.
fn check_window(fields: &Fields<'_>, feature: &mut Feature) {
    let Feature { statistic, window: Some(window), form, delay, .. } = *feature else { return };
    if statistic.over() != Over::Window {
        return;
    }
    if !statistic.forms().contains(&form) {
        let forms: Vec<_> =
            statistic.forms().iter().map(|form| format!("{form:?}").to_lowercase()).collect();
        let forms = forms.join(" or ");
        fields.problem("form", format!("{} needs form {forms}", statistic.name()));
    }
    if window == Span::ZERO || delay == Span::Ever {
        fields.problem("window", "the window must be longer than nothing, and the delay must end");
        return;
    }
    if window == Span::Ever && form != Form::Decayed {
        fields.problem("window", "only the form decayed can have the window \"ever\"");
        return;
    }
    if feature.usual == Span::ZERO {
        fields.problem("usual", "usual must be longer than nothing");
    }
    let delayed = delay != Span::ZERO;
    if form == Form::Decayed
        && delayed
        && !(statistic.is_of_frauds() || statistic == Statistic::Count)
    {
        let what = "the form decayed can shift only count, fraud_count and fraud_share: take ring";
        fields.problem("delay", what);
    }
    if delayed && (statistic.compares() || feature.current && fields.has("current")) {
        fields.problem("delay", "this payment is not in a window that is shifted back");
    }
    let bucketed = form == Form::Ring || form == Form::Decayed && delayed;
    if !bucketed {
        if fields.has("bucket") {
            fields.problem(
                "bucket",
                "there are no buckets: the form is not ring, or there is no delay",
            );
        }
        return;
    }
    // What waits for a delay is split as a window of that length would be.
    let (split, shift) = if form == Form::Ring { (window, delay) } else { (delay, Span::ZERO) };
    let parts = if statistic == Statistic::Distinct { SKETCH_PARTS } else { RING_PARTS };
    let bucket = if feature.bucket == Span::ZERO {
        split.usual_bucket(shift, parts)
    } else {
        Some(feature.bucket)
    };
    let whole = |bucket: Span| {
        let (bucket, split, shift) = (bucket.ns(), split.ns(), shift.ns());
        split % bucket == 0 && shift % bucket == 0 && (split + shift) / bucket <= BUCKETS_MAX
    };
    match bucket {
        Some(bucket @ Span::Seconds(1..)) if whole(bucket) => feature.bucket = bucket,
        _ => fields.problem(
            "bucket",
            format!(
                "bucket must be said, so that window and delay are whole numbers of it, at most \
                 {BUCKETS_MAX} together"
            ),
        ),
    }
}
