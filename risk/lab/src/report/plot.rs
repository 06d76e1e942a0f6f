//! Plots: consumes axes, lines, bars and dots, produces one inline SVG picture.

use std::fmt::Write as _;

use super::{
    axis::Scale,
    number::{escaped, tick},
};

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 310.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 46.0;

/// A line shows its values at so many places, no more: they must be hit with a mouse.
const HITS_MAX: usize = 60;

/// Which colour: the style sheet has one of each for light and for dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    /// The model, the champion, legitimate payments.
    First,
    /// The challenger, fraud.
    Second,
}

impl Ink {
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::First => "a",
            Self::Second => "b",
        }
    }
}

/// One axis.
pub(super) struct Axis<'a> {
    pub(super) label: &'a str,
    pub(super) scale: Scale,
    /// How a mark is written.
    pub(super) mark: fn(f64) -> String,
}

impl<'a> Axis<'a> {
    pub(super) fn new(label: &'a str, scale: Scale) -> Self {
        Self { label, scale, mark: tick }
    }
}

/// A picture with two axes.
pub(super) struct Plot {
    x: Scale,
    y: Scale,
    svg: String,
}

impl Plot {
    /// A frame with marks. `name` is what a screen reader says.
    pub(super) fn new(name: &str, x: &Axis<'_>, y: &Axis<'_>) -> Self {
        let mut plot = Self { x: x.scale, y: y.scale, svg: String::new() };
        let svg = &mut plot.svg;
        let _ = write!(
            svg,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escaped(name)
        );
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for mark in y.scale.marks() {
            let at = y_of(y.scale, mark);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"mark\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 7.0,
                at + 4.0,
                escaped(&(y.mark)(mark))
            );
        }
        for mark in x.scale.marks() {
            let at = x_of(x.scale, mark);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/><text class=\"mark\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 17.0,
                escaped(&(x.mark)(mark))
            );
        }
        let middle = TOP + (bottom - TOP) / 2.0;
        let _ = write!(
            svg,
            "<path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/><text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text><text class=\"label\" transform=\"translate(12 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            LEFT + (right - LEFT) / 2.0,
            HEIGHT - 9.0,
            escaped(x.label),
            escaped(y.label)
        );
        plot
    }

    /// A line, and what to show where the mouse meets it.
    pub(super) fn line(&mut self, points: &[(f64, f64)], ink: Ink, told: impl Fn(usize) -> String) {
        let mut path = String::new();
        for (place, (x, y)) in points.iter().enumerate() {
            let letter = if place == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", x_of(self.x, *x), y_of(self.y, *y));
        }
        let _ = write!(self.svg, "<path class=\"line {}\" d=\"{path}\"/>", ink.class());
        for place in (0..points.len()).step_by(points.len().div_ceil(HITS_MAX).max(1)) {
            let (x, y) = points[place];
            let _ = write!(
                self.svg,
                "<circle class=\"hit {}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\"><title>{}</title></circle>",
                ink.class(),
                x_of(self.x, x),
                y_of(self.y, y),
                escaped(&told(place))
            );
        }
    }

    /// A dashed line between two points.
    pub(super) fn dashes(&mut self, from: (f64, f64), to: (f64, f64), told: &str) {
        let _ = write!(
            self.svg,
            "<line class=\"dash\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"><title>{}</title></line>",
            x_of(self.x, from.0),
            y_of(self.y, from.1),
            x_of(self.x, to.0),
            y_of(self.y, to.1),
            escaped(told)
        );
    }

    /// A bar between two places and from one height to another.
    pub(super) fn bar(&mut self, x: (f64, f64), y: (f64, f64), ink: Ink, told: &str) {
        let (left, right) = (x_of(self.x, x.0), x_of(self.x, x.1));
        let (top, bottom) = (y_of(self.y, y.1), y_of(self.y, y.0));
        let _ = write!(
            self.svg,
            "<rect class=\"bar {}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
            ink.class(),
            (right - left).max(0.5),
            // A bar of height 0 would be taken for no data.
            (bottom - top).max(1.0),
            escaped(told)
        );
    }

    /// A dot with a vertical interval; hollow where nothing was counted.
    pub(super) fn dot(&mut self, at: (f64, f64), interval: (f64, f64), told: &str) {
        let class = if at.1 > 0.0 { "a" } else { "a none" };
        let (x, y) = (x_of(self.x, at.0), y_of(self.y, at.1));
        let (low, high) = (y_of(self.y, interval.0), y_of(self.y, interval.1));
        let _ = write!(
            self.svg,
            "<g class=\"dot {class}\"><path d=\"M{x:.1} {low:.1}V{high:.1}\"/><circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/><title>{}</title></g>",
            escaped(told)
        );
    }

    /// The picture.
    pub(super) fn finish(mut self) -> String {
        self.svg.push_str("</svg>");
        self.svg
    }
}

fn x_of(scale: Scale, value: f64) -> f64 {
    LEFT + scale.place(value) * (WIDTH - LEFT - RIGHT)
}

fn y_of(scale: Scale, value: f64) -> f64 {
    HEIGHT - BOTTOM - scale.place(value) * (HEIGHT - BOTTOM - TOP)
}
