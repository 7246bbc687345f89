//! Plots of a run, as small SVG files.

use std::fmt::Write as _;
use std::path::Path;

/// A curve: its name, its colour, and its points in seconds and kb/s.
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) colour: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

const SIZE: (f64, f64) = (720.0, 300.0);
/// Left, top, right, bottom.
const MARGINS: (f64, f64, f64, f64) = (56.0, 34.0, 12.0, 30.0);

/// Writes a plot to the folder that the environment variable `KLIEG_PLOTS` names, if it does.
pub(crate) fn write(name: &str, title: &str, curves: &[Curve]) {
    let Ok(folder) = std::env::var("KLIEG_PLOTS") else {
        return;
    };
    let file = Path::new(&folder).join(format!("estimation-{name}.svg"));
    std::fs::write(file, draw(title, curves)).unwrap();
}

fn draw(title: &str, curves: &[Curve]) -> String {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let end = points().map(|(x, _)| *x).fold(1.0, f64::max).ceil();
    let most = points().map(|(_, y)| *y).fold(100.0, f64::max);
    let step = [100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0];
    let step = step
        .into_iter()
        .find(|step| most / step <= 6.0)
        .unwrap_or(5000.0);
    let top = (most / step).ceil() * step;
    let x = |at: f64| MARGINS.0 + at / end * (SIZE.0 - MARGINS.0 - MARGINS.2);
    let y = |kbps: f64| SIZE.1 - MARGINS.3 - kbps / top * (SIZE.1 - MARGINS.1 - MARGINS.3);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"{}\" y=\"14\" font-weight=\"bold\">{title}</text>\n",
        SIZE.0, SIZE.1, MARGINS.0
    );
    let mut kbps = 0.0;
    while kbps <= top {
        let at = y(kbps);
        let _ = writeln!(
            svg,
            "<path d=\"M{:.0} {at:.1}H{:.0}\" stroke=\"#ddd\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{kbps}</text>",
            MARGINS.0,
            SIZE.0 - MARGINS.2,
            MARGINS.0 - 4.0,
            at + 4.0
        );
        kbps += step;
    }
    let seconds = (0_u32..).step_by(if end > 30.0 { 10 } else { 5 });
    for second in seconds.take_while(|second| f64::from(*second) <= end) {
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{second} s</text>",
            x(f64::from(second)),
            SIZE.1 - 10.0
        );
    }
    for (place, curve) in curves.iter().enumerate() {
        let path = curve.points.iter().map(|(at, kbps)| {
            let kbps = y(kbps.min(top));
            format!("{:.1} {kbps:.1}", x(*at))
        });
        let path = path.collect::<Vec<_>>().join("L");
        let (name, colour) = (curve.name, curve.colour);
        let left = MARGINS.0 + 165.0 * place as f64;
        let _ = writeln!(
            svg,
            "<path d=\"M{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n\
             <path d=\"M{left:.0} 24h18\" stroke=\"{colour}\" stroke-width=\"3\"/><text x=\"{:.0}\" y=\"28\">{name}</text>",
            left + 22.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}
