//! `projections gate`: the forecast gate, measured anew each time it is asked for.

use lockgate_cli::{Exit, Look, Session};

use crate::gate::{Check, GateReport, SeriesReport, run};
use crate::projection::Method;

/// Prints what the gate measures; the answer is no when a bound is not kept.
pub(super) fn show(session: &Session) -> anyhow::Result<Exit> {
    let report = run()?;
    session.terminal().show(&report, |look| text(&report, look))?;
    Ok(if report.passed { Exit::Ok } else { Exit::Negative })
}

fn text(report: &GateReport, look: &Look) -> String {
    let errors = look.table(
        ["series", "regular", "origins", "last week", "kernel", "median"],
        report.series.iter().map(errors),
    );
    let limits = look.table(
        ["series", "flagged kernel", "median", "caught kernel", "median"],
        report.series.iter().map(limits),
    );
    let checks = look.table(["", "bound", "method", "measured", "limit"], report.checks.iter().map(check));
    let verdict = if report.passed { "every bound is kept" } else { "a bound is NOT kept" };
    let worst = report.series.iter().map(|s| s.median.worst_week).fold(0.0, f64::max);
    format!(
        "Real series, each forecast a week ahead from origins a day apart; error as WAPE.\n\n{errors}\n\nIn percent: \
         ordinary hours above their limit, and spikes (ten times for six hours)\ncaught. Ordinary: outside the labelled \
         anomalies. Regular: 5 * cv stays within 6.\n\n{limits}\n\n{checks}\n\n{verdict}\nNo bound, but good to know: the \
         median's worst single week has {worst:.2} times the error\nof the same hours last week."
    )
}

fn errors(report: &SeriesReport) -> [String; 6] {
    let wape = |wape: f64| format!("{wape:.3}");
    [
        report.series.clone(),
        String::from(if report.regular { "yes" } else { "no" }),
        report.origins.to_string(),
        wape(report.last_week_wape),
        wape(report.kernel.wape),
        wape(report.median.wape),
    ]
}

fn limits(report: &SeriesReport) -> [String; 5] {
    let percent = |share: f64| format!("{:.2}", share * 100.0);
    let [kernel, median] = [Method::Kernel, Method::Median].map(|method| report.of(method));
    [
        report.series.clone(),
        percent(kernel.flagged),
        percent(median.flagged),
        percent(kernel.caught),
        percent(median.caught),
    ]
}

fn check(check: &Check) -> [String; 5] {
    [
        String::from(if check.passed { "ok" } else { "NO" }),
        check.name.to_owned(),
        check.method.as_str().to_owned(),
        format!("{:.4}", check.measured),
        format!("{:.4}", check.bound),
    ]
}
