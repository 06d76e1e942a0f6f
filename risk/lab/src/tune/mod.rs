//! Tuning: consumes scored payments, costs and the analysts' capacity, produces thresholds and the
//! comparison of a challenger with the champion.

mod backtest;
mod compare;
mod cost;
mod thresholds;

pub use backtest::{BacktestDay, BacktestDays, backtest};
pub use compare::{CompareSettings, Comparison, MetricComparison, compare};
pub use cost::{Challenge, CostError, CostPoint, Costs, MissedFraud, cost_curve};
pub use thresholds::{Decision, DecisionCount, Thresholds, Tuning, tune};
