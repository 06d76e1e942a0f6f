//! The best split of each node of a level on one feature: consumes the feature's rows in order,
//! produces at most one split per node.

use millrace_risk::model::Side;

use super::{Boosting, middle};

/// A row, as a pass sees it: its derivatives, and the node of this level that it is in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) gradient: f32,
    pub(super) hessian: f32,
    pub(super) slot: u32,
}

impl Cell {
    /// In a leaf, or not seen by this tree.
    pub(super) const NONE: u32 = u32::MAX;
}

/// Sums of derivatives over rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) gradient: f64,
    pub(super) hessian: f64,
}

impl Sums {
    pub(super) fn add(&mut self, cell: &Cell) {
        self.gradient += f64::from(cell.gradient);
        self.hessian += f64::from(cell.hessian);
    }

    fn less(self, other: Self) -> Self {
        let (gradient, hessian) = (self.gradient - other.gradient, self.hessian - other.hessian);
        Self { gradient, hessian }
    }

    fn and(self, other: Self) -> Self {
        let (gradient, hessian) = (self.gradient + other.gradient, self.hessian + other.hessian);
        Self { gradient, hessian }
    }

    /// Twice what the loss falls by when these rows have a value of their own.
    fn worth(self, lambda: f64) -> f64 {
        self.gradient * self.gradient / (self.hessian + lambda).max(1e-16)
    }
}

/// Where to split, and what comes to lie on either side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    pub(super) gain: f64,
    pub(super) feature: usize,
    pub(super) threshold: f32,
    pub(super) missing: Side,
    pub(super) left: Sums,
    pub(super) right: Sums,
}

/// A node during a pass.
struct Scan {
    all: Sums,
    worth: f64,
    missing: Sums,
    /// Whether a row of this node lacks the value, as far as sums tell.
    has_missing: bool,
    below: Sums,
    last: f32,
    best: Option<Split>,
}

/// One pass over a feature, for all nodes. Where values are missing, one pass before it finds what
/// they add up to.
pub(super) fn best_splits(
    feature: usize,
    rows: &[u32],
    values: &[f32],
    has_missing: bool,
    cells: &[Cell],
    nodes: &[Sums],
    settings: &Boosting,
) -> Vec<Option<Split>> {
    let scan = |all: &Sums| Scan {
        all: *all,
        worth: all.worth(settings.lambda),
        missing: Sums::default(),
        has_missing: false,
        below: Sums::default(),
        last: f32::NAN,
        best: None,
    };
    let mut scans: Vec<_> = nodes.iter().map(scan).collect();
    if has_missing {
        find_missing(rows, cells, &mut scans);
    }
    for (row, value) in rows.iter().zip(values) {
        let cell = &cells[*row as usize];
        let Some(scan) = scans.get_mut(cell.slot as usize) else { continue };
        if *value > scan.last {
            scan.try_split(feature, *value, settings);
        }
        scan.below.add(cell);
        scan.last = *value;
    }
    if has_missing {
        // What is missing on one side, what is there on the other.
        for scan in scans.iter_mut().filter(|scan| scan.has_missing && !scan.last.is_nan()) {
            let (left, right) = (scan.below, scan.missing);
            scan.offer(feature, f32::MAX, Side::Right, left, right, settings);
        }
    }
    scans.into_iter().map(|scan| scan.best).collect()
}

fn find_missing(rows: &[u32], cells: &[Cell], scans: &mut [Scan]) {
    let mut counts = vec![0_u32; scans.len()];
    for cell in cells {
        counts.get_mut(cell.slot as usize).into_iter().for_each(|count| *count += 1);
    }
    for row in rows {
        let cell = &cells[*row as usize];
        if let Some(scan) = scans.get_mut(cell.slot as usize) {
            scan.missing.add(cell);
            counts[cell.slot as usize] -= 1;
        }
    }
    for (scan, count) in scans.iter_mut().zip(counts) {
        scan.has_missing = count > 0;
        scan.missing = if count > 0 { scan.all.less(scan.missing) } else { Sums::default() };
    }
}

impl Scan {
    /// Between the last value and this one, missing values on the one side and on the other.
    #[inline]
    fn try_split(&mut self, feature: usize, value: f32, settings: &Boosting) {
        let at = middle(self.last, value);
        let below = self.below;
        self.offer(feature, at, Side::Right, below, self.all.less(below), settings);
        if self.has_missing {
            let left = below.and(self.missing);
            self.offer(feature, at, Side::Left, left, self.all.less(left), settings);
        }
    }

    #[inline]
    fn offer(
        &mut self,
        feature: usize,
        threshold: f32,
        missing: Side,
        left: Sums,
        right: Sums,
        settings: &Boosting,
    ) {
        if left.hessian < settings.child_weight_min || right.hessian < settings.child_weight_min {
            return;
        }
        let worth = left.worth(settings.lambda) + right.worth(settings.lambda);
        let gain = 0.5 * (worth - self.worth) - settings.gamma;
        if gain > self.best.map_or(1e-12, |best| best.gain) {
            // Where nothing was missing, the heavier side is the likelier one.
            let heavier = if left.hessian >= right.hessian { Side::Left } else { Side::Right };
            let missing = if self.has_missing { missing } else { heavier };
            self.best = Some(Split { gain, feature, threshold, missing, left, right });
        }
    }
}
