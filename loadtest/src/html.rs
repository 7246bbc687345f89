//! The report as one page with plots, which needs nothing from a network.

use crate::measure::float;
use crate::plot::Plot;
use crate::report::Report;
use crate::table;

/// Writes the page.
pub(crate) fn page(report: &Report) -> String {
    let mut verdict = table::verdict(report);
    // Whether it passed comes first, then whose limit was met.
    verdict.rotate_left(1);
    let kind = if report.failures.is_empty() {
        "passed"
    } else {
        "failed"
    };
    let plots = PLOTS.iter();
    let plots = plots.filter_map(|plot| plot.draw(&report.samples, report.ramp_s));
    format!(
        "{HEAD}<h1>Load test</h1><p class=\"{kind}\">{}</p><p><code>{}</code></p><pre>{}</pre>{}</main></body></html>\n",
        escape(&verdict.join("\n")).replace('\n', "<br>"),
        escape(&report.command),
        escape(&table::figures(report).join("\n")),
        plots.collect::<String>()
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn ms(us: u64) -> f64 {
    float(us) / 1000.0
}

const PLOTS: [Plot; 7] = [
    Plot {
        title: "Viewers connected",
        is_count: true,
        lines: &[("", |s| Some(float(s.connected)))],
    },
    Plot {
        title: "Packets a second",
        is_count: true,
        lines: &[("", |s| Some(s.packets_per_second))],
    },
    Plot {
        title: "Packets lost, in all",
        is_count: true,
        lines: &[("", |s| Some(float(s.lost)))],
    },
    Plot {
        title: "From the first request to the first whole picture, ms",
        is_count: false,
        lines: &[
            ("p50", |s| s.join_p50_us.map(ms)),
            ("p99", |s| s.join_p99_us.map(ms)),
        ],
    },
    Plot {
        title: "Delay of a frame, ms",
        is_count: false,
        lines: &[
            ("p50", |s| s.delay_p50_us.map(ms)),
            ("p99", |s| s.delay_p99_us.map(ms)),
        ],
    },
    Plot {
        title: "Cores in use",
        is_count: false,
        lines: &[
            ("test", |s| Some(s.generator_cores)),
            ("server", |s| s.server_cores),
        ],
    },
    Plot {
        title: "Server: memory, MiB",
        is_count: false,
        lines: &[("", |s| {
            s.server_memory_bytes
                .map(|bytes| float(bytes) / 1_048_576.0)
        })],
    },
];

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>klieg-loadtest</title>\
<meta name=\"viewport\" content=\"width=device-width\"><style>\
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif}main{max-width:60rem;margin:2rem auto;padding:0 1rem}\
code{white-space:pre-wrap;overflow-wrap:anywhere}pre{font-size:13px;overflow-x:auto}p.passed,p.failed{border-left:4px solid #2b9e4b;padding-left:1rem;font-weight:600}\
p.failed{border-color:#d03030}figure{margin:2rem 0}figcaption{font-weight:600}svg{width:100%;height:auto}text{font-size:11px;fill:currentColor}\
.grid{stroke:currentColor;opacity:.15}.ramp{stroke:currentColor;opacity:.5;stroke-dasharray:3 3}\
polyline{fill:none;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}.line0{stroke:#2b7de9}.line1{stroke:#e0662b}\
.name0{fill:#2b7de9}.name1{fill:#e0662b}</style></head><body><main>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_markup() {
        assert_eq!(escape("a < \"b\" & c>"), "a &lt; &quot;b&quot; &amp; c&gt;");
    }
}
