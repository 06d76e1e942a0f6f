//! Axes: consumes the values to be drawn, produces places between 0 and 1 and marks to read them
//! by.

/// How values become places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// Evenly between two values.
    Linear(f64, f64),
    /// Evenly in the logarithm; both ends are above 0.
    Log(f64, f64),
}

/// About so many marks are readable on one axis.
const MARKS: f64 = 5.0;

impl Scale {
    /// From 0 to a round number that is not below any of the values.
    pub(super) fn from_zero(values: impl Iterator<Item = f64>) -> Self {
        let highest = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let highest = if highest > 0.0 { highest } else { 1.0 };
        let step = step(highest);
        Self::Linear(0.0, (highest / step).ceil() * step)
    }

    /// From a power of ten to a power of ten that hold all values above 0, at least one decade.
    pub(super) fn decades(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|value| value.is_finite() && *value > 0.0) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            return Self::Log(1.0, 10.0);
        }
        let low = 10_f64.powf(low.log10().floor());
        Self::Log(low, 10_f64.powf(high.log10().ceil()).max(low * 10.0))
    }

    /// The place of a value: 0 at the low end, 1 at the high end, never beyond.
    pub(super) fn place(self, value: f64) -> f64 {
        let place = match self {
            Self::Linear(low, high) => (value - low) / (high - low),
            Self::Log(low, _) if value <= low => 0.0,
            Self::Log(low, high) => (value / low).ln() / (high / low).ln(),
        };
        if place.is_nan() { 0.0 } else { place.clamp(0.0, 1.0) }
    }

    /// Round values to mark.
    pub(super) fn marks(self) -> Vec<f64> {
        match self {
            Self::Linear(low, high) => {
                let step = step(high - low);
                let first = (low / step - 1e-9).ceil() as i64;
                let last = (high / step + 1e-9).floor() as i64;
                (first..=last).map(|n| n as f64 * step).collect()
            }
            Self::Log(low, high) => {
                let (first, last) = (low.log10().round() as i32, high.log10().round() as i32);
                let every = ((last - first) as f64 / MARKS).ceil().max(1.0) as usize;
                (first..=last).step_by(every).map(|power| 10_f64.powi(power)).collect()
            }
        }
    }
}

/// The step of 1, 2 or 5 times a power of ten that gives about the right number of marks.
fn step(span: f64) -> f64 {
    let rough = span / MARKS;
    let power = 10_f64.powf(rough.log10().floor());
    let times = [1.0, 2.0, 5.0].into_iter().find(|times| times * power >= rough * 0.999);
    times.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round() {
        for (scale, expected) in [
            (Scale::Linear(0.0, 1.0), vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
            (
                Scale::from_zero([3.2, 870.0].into_iter()),
                vec![0.0, 200.0, 400.0, 600.0, 800.0, 1_000.0],
            ),
            (Scale::from_zero([].into_iter()), vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
            (
                Scale::decades([0.0, 3.0, 58_000.0].into_iter()),
                vec![1.0, 10.0, 100.0, 1e3, 1e4, 1e5],
            ),
            (Scale::decades([f64::NAN].into_iter()), vec![1.0, 10.0]),
            (Scale::decades([1e-8, 1.0].into_iter()), vec![1e-8, 1e-6, 1e-4, 1e-2, 1.0]),
        ] {
            let marks = scale.marks();
            assert_eq!(marks.len(), expected.len(), "{marks:?}");
            for (mark, expected) in marks.iter().zip(expected) {
                assert!((mark - expected).abs() <= 1e-12 + expected * 1e-9, "{mark} {expected}");
            }
        }
    }

    #[test]
    fn places_stay_on_the_axis() {
        let log = Scale::Log(1.0, 100.0);
        for (scale, value, expected) in [
            (Scale::Linear(0.0, 10.0), 2.5, 0.25),
            (Scale::Linear(0.0, 10.0), 99.0, 1.0),
            (Scale::Linear(0.0, 10.0), f64::NAN, 0.0),
            (log, 10.0, 0.5),
            (log, 0.0, 0.0),
        ] {
            assert!((scale.place(value) - expected).abs() < 1e-12, "{scale:?} {value}");
        }
    }
}
