//! The report as one page with plots, which needs nothing from a network.

use std::fmt::Write as _;

use crate::live::Sample;
use crate::measure::float;
use crate::report::Report;
use crate::table;

/// Writes the page.
pub(crate) fn page(report: &Report) -> String {
    let mut page = String::from(HEAD);
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "<h1>Load test</h1><p><code>{}</code></p><pre>{}</pre>",
        escape(&report.command),
        escape(&table::lines(report).join("\n"))
    );
    let mib = |bytes: u64| float(bytes) / 1_048_576.0;
    let ms = |us: u64| float(us) / 1000.0;
    let plots = [
        plot(
            "Viewers connected",
            &report.samples,
            &[("", &|s| Some(float(s.connected)))],
        ),
        plot(
            "Packets a second",
            &report.samples,
            &[("", &|s| Some(s.packets_per_second))],
        ),
        plot(
            "Packets lost, in all",
            &report.samples,
            &[("", &|s| Some(float(s.lost)))],
        ),
        plot(
            "From the first request to the first whole picture, ms",
            &report.samples,
            &[
                ("p50", &|s| s.join_p50_us.map(ms)),
                ("p99", &|s| s.join_p99_us.map(ms)),
            ],
        ),
        plot(
            "Delay of a frame, ms",
            &report.samples,
            &[
                ("p50", &|s| s.delay_p50_us.map(ms)),
                ("p99", &|s| s.delay_p99_us.map(ms)),
            ],
        ),
        plot(
            "Cores in use",
            &report.samples,
            &[
                ("test", &|s| Some(s.generator_cores)),
                ("server", &|s| s.server_cores),
            ],
        ),
        plot(
            "Server: memory, MiB",
            &report.samples,
            &[("", &|s| s.server_memory_bytes.map(mib))],
        ),
    ];
    for plot in plots.into_iter().flatten() {
        page.push_str(&plot);
    }
    page.push_str("</main></body></html>\n");
    page
}

type Line<'a> = (&'a str, &'a dyn Fn(&Sample) -> Option<f64>);

/// Draws lines over time; `None` when there is nothing to draw.
fn plot(title: &str, samples: &[Sample], lines: &[Line<'_>]) -> Option<String> {
    let values = lines
        .iter()
        .flat_map(|(_, line)| samples.iter().filter_map(line));
    let top = values.reduce(f64::max)?.max(1e-9) * 1.05;
    let (first, last) = (samples.first()?.second, samples.last()?.second);
    let span = (last - first).max(1.0);
    let mut svg = format!(
        "<figure><figcaption>{}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">",
        escape(title)
    );
    for step in 0..=4 {
        let value = top * f64::from(step) / 4.0;
        let y = y_of(value, top);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            short(value)
        );
    }
    for (place, (name, line)) in lines.iter().enumerate() {
        let points = samples.iter().filter_map(|sample| {
            let x = LEFT + (sample.second - first) / span * (WIDTH - LEFT);
            line(sample).map(|value| format!("{x:.1},{:.1}", y_of(value, top)))
        });
        let mut points: Vec<_> = points.collect();
        // One second alone is a dot, as a line to where it begins.
        if let [only] = &points[..] {
            points.push(only.clone());
        }
        let points = points.join(" ");
        let _ = write!(svg, "<polyline class=\"line{place}\" points=\"{points}\"/>");
        if !name.is_empty() {
            let x = LEFT + 10.0 + 60.0 * f64::from(u8::try_from(place).unwrap_or(0));
            let _ = write!(
                svg,
                "<text class=\"name{place}\" x=\"{x}\" y=\"14\">{}</text>",
                escape(name)
            );
        }
    }
    let _ = write!(
        svg,
        "<text x=\"{LEFT}\" y=\"{:.1}\">0 s</text><text x=\"{WIDTH}\" y=\"{:.1}\" text-anchor=\"end\">{span:.0} s</text></svg></figure>",
        HEIGHT - 2.0,
        HEIGHT - 2.0
    );
    Some(svg)
}

fn y_of(value: f64, top: f64) -> f64 {
    TOP + (1.0 - value / top) * (HEIGHT - TOP - BOTTOM)
}

fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.1}M", value / 1e6),
        value if value >= 1e4 => format!("{:.0}k", value / 1e3),
        value if value >= 100.0 => format!("{value:.0}"),
        value => format!("{value:.2}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 18.0;

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>klieg-loadtest</title>\
<meta name=\"viewport\" content=\"width=device-width\"><style>\
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif}main{max-width:48rem;margin:2rem auto;padding:0 1rem}\
pre{overflow:auto}figure{margin:2rem 0}figcaption{font-weight:600}svg{width:100%;height:auto}text{font-size:11px;fill:currentColor}\
.grid{stroke:currentColor;opacity:.15}polyline{fill:none;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}.line0{stroke:#2b7de9}.line1{stroke:#e0662b}\
.name0{fill:#2b7de9}.name1{fill:#e0662b}</style></head><body><main>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_within_the_plot() {
        let samples: Vec<_> = (0..10_u32)
            .map(|second| Sample {
                second: second.into(),
                connected: u64::from(second * 100),
                ..Sample::default()
            })
            .collect();
        let svg = plot("a < b", &samples, &[("", &|s| Some(float(s.connected)))]).unwrap();
        assert!(svg.contains("a &lt; b"));
        let (_, points) = svg.split_once("points=\"").unwrap();
        let (points, _) = points.split_once('"').unwrap();
        for point in points.split(' ') {
            let (x, y) = point.split_once(',').unwrap();
            assert!((LEFT..=WIDTH).contains(&x.parse().unwrap()), "{point}");
            assert!(
                (TOP..=HEIGHT - BOTTOM).contains(&y.parse().unwrap()),
                "{point}"
            );
        }
    }

    #[test]
    fn nothing_is_drawn_of_what_was_not_measured() {
        let samples = [Sample::default()];
        assert_eq!(plot("x", &samples, &[("", &|s| s.server_cores)]), None);
    }
}
