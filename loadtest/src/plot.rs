//! Lines over time as SVG, with round numbers at the axes.

use std::fmt::Write as _;

use crate::live::Sample;
use crate::measure::float;

/// A name and the values of one line.
pub(crate) type Line = (&'static str, fn(&Sample) -> Option<f64>);

/// What to draw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plot {
    pub(crate) title: &'static str,
    /// Whether values between whole numbers make no sense.
    pub(crate) is_count: bool,
    /// At most two.
    pub(crate) lines: &'static [Line],
}

impl Plot {
    /// Draws the samples, and a mark where the ramp was over; `None` when there is nothing to draw.
    pub(crate) fn draw(&self, samples: &[Sample], ramp_s: f64) -> Option<String> {
        let lines = self.lines.iter();
        let values = lines.flat_map(|(_, line)| samples.iter().filter_map(line));
        let top = values.reduce(f64::max)?;
        let least = if self.is_count { 1.0 } else { 0.0 };
        let axis = Axis::up_to(top, 4.0, least);
        let time = Axis::up_to(samples.last()?.second, 6.0, 0.0);
        let end = samples.last()?.second.max(1e-3);
        let title = self.title;
        let mut svg = format!(
            "<figure><figcaption>{title}</figcaption>\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
        );
        for value in axis.ticks(axis.top) {
            let (y, label) = (axis.y(value), axis.label(value));
            let (x, below) = (LEFT - 6.0, y + 4.0);
            // Writing to a string cannot fail.
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{x}\" y=\"{below:.1}\" text-anchor=\"end\">{label}</text>"
            );
        }
        let y = HEIGHT - 2.0;
        for second in time.ticks(end) {
            let (x, label) = (x_of(second, end), time.label(second));
            let _ = write!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{label} s</text>"
            );
        }
        if (0.0..end).contains(&ramp_s) && ramp_s > 0.0 {
            let (x, bottom) = (x_of(ramp_s, end), HEIGHT - BOTTOM);
            let _ = write!(
                svg,
                "<line class=\"ramp\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>"
            );
        }
        for (place, (name, line)) in self.lines.iter().enumerate() {
            draw_line(&mut svg, (place, name), &points(samples, *line, &axis, end));
        }
        svg.push_str("</svg></figure>");
        Some(svg)
    }
}

fn points(
    samples: &[Sample],
    line: fn(&Sample) -> Option<f64>,
    axis: &Axis,
    end: f64,
) -> Vec<String> {
    let points = samples.iter().filter_map(|sample| {
        let (x, value) = (x_of(sample.second, end), line(sample)?);
        Some(format!("{x:.1},{:.1}", axis.y(value)))
    });
    let mut points: Vec<_> = points.collect();
    // One second alone is a dot, as a line to where it begins.
    if let [only] = &points[..] {
        points.push(only.clone());
    }
    points
}

fn draw_line(svg: &mut String, (place, name): (usize, &str), points: &[String]) {
    let points = points.join(" ");
    let _ = write!(svg, "<polyline class=\"line{place}\" points=\"{points}\"/>");
    if !name.is_empty() {
        let x = LEFT + 10.0 + 60.0 * float(place as u64);
        let _ = write!(
            svg,
            "<text class=\"name{place}\" x=\"{x}\" y=\"14\">{name}</text>"
        );
    }
}

/// The values of one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    /// Between two labels: 1, 2 or 5 with zeros before or behind.
    step: f64,
    /// The first of the steps that all values are below.
    top: f64,
}

impl Axis {
    /// Chooses about so many steps, each of at least this size.
    fn up_to(top: f64, steps: f64, least: f64) -> Self {
        let raw = (top / steps).max(least).max(1e-9);
        let power = 10_f64.powf(raw.log10().floor());
        let round = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let step = round.into_iter().find(|step| *step >= raw * 0.999);
        let step = if top > 0.0 { step.unwrap_or(raw) } else { 1.0 };
        Self {
            step,
            top: (top / step * 0.999).ceil().max(1.0) * step,
        }
    }

    /// Returns the values of the labels up to this one.
    fn ticks(&self, end: f64) -> impl Iterator<Item = f64> {
        let (step, most) = (self.step, end * 1.001);
        let steps = (0..=MAX_TICKS).map(move |place| f64::from(place) * step);
        steps.take_while(move |value| *value <= most)
    }

    fn label(&self, value: f64) -> String {
        if value == 0.0 {
            return "0".into();
        }
        let (scale, unit) = match self.top {
            top if top >= 2e6 => (1e6, "M"),
            top if top >= 1e4 => (1e3, "k"),
            _ => (1.0, ""),
        };
        let step = self.step / scale;
        let digits =
            usize::from(step < 0.999) + usize::from(step < 0.0999) + usize::from(step < 0.00999);
        format!("{:.digits$}{unit}", value / scale)
    }

    fn y(&self, value: f64) -> f64 {
        TOP + (1.0 - value / self.top) * (HEIGHT - TOP - BOTTOM)
    }
}

fn x_of(second: f64, end: f64) -> f64 {
    LEFT + second / end * (RIGHT - LEFT)
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 60.0;
/// The last label needs some room.
const RIGHT: f64 = 704.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 18.0;
const MAX_TICKS: u8 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECTED: Plot = Plot {
        title: "Viewers",
        is_count: true,
        lines: &[("", |s| Some(float(s.connected)))],
    };

    fn samples(each: u64) -> Vec<Sample> {
        let samples = (0..10_u32).map(|second| Sample {
            second: second.into(),
            connected: u64::from(second) * each,
            ..Sample::default()
        });
        samples.collect()
    }

    #[test]
    fn lines_stay_within_the_plot() {
        let svg = CONNECTED.draw(&samples(100), 3.0).unwrap();
        let (_, points) = svg.split_once("points=\"").unwrap();
        let (points, _) = points.split_once('"').unwrap();
        for point in points.split(' ') {
            let (x, y) = point.split_once(',').unwrap();
            assert!((LEFT..=RIGHT).contains(&x.parse().unwrap()), "{point}");
            let y = y.parse().unwrap();
            assert!((TOP..=HEIGHT - BOTTOM).contains(&y), "{point}");
        }
        assert_eq!(svg.matches("class=\"ramp\"").count(), 1);
    }

    #[test]
    fn nothing_is_drawn_of_what_was_not_measured() {
        let plot = Plot {
            lines: &[("", |s| s.server_cores)],
            ..CONNECTED
        };
        assert_eq!(plot.draw(&samples(1), 0.0), None);
    }

    #[test]
    fn labels_are_round_numbers() {
        let labels = |top, least| {
            let axis = Axis::up_to(top, 4.0, least);
            let labels = axis.ticks(axis.top).map(|value| axis.label(value));
            labels.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels(83.22, 0.0), "0 50 100");
        assert_eq!(labels(200.0, 1.0), "0 50 100 150 200");
        assert_eq!(labels(0.0, 1.0), "0 1");
        assert_eq!(labels(0.0, 0.0), "0 1");
        assert_eq!(labels(3.0, 1.0), "0 1 2 3");
        assert_eq!(labels(0.7, 0.0), "0 0.2 0.4 0.6 0.8");
        assert_eq!(labels(0.05, 0.0), "0 0.02 0.04 0.06");
        assert_eq!(labels(180_000.0, 0.0), "0 50k 100k 150k 200k");
        assert_eq!(labels(3.5e6, 0.0), "0 1M 2M 3M 4M");
    }
}
