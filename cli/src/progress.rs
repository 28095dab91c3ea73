//! Progress and traces on standard error.
//!
//! Every phase of importing, setting up and proving is a `tracing` span. A spinner shows the phase
//! that is running; `-v` prints the whole tree with times when it is done.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tracing::level_filters::LevelFilter;
use tracing::{Id, Level, Subscriber};
use tracing_forest::ForestLayer;
use tracing_forest::printer::Printer;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::Global;
use crate::report::printable;

static SPINNER: OnceLock<ProgressBar> = OnceLock::new();

/// Sets up what the options ask for.
pub fn init(global: &Global) {
    let spinner =
        !global.quiet && !global.json && global.verbose == 0 && std::io::stderr().is_terminal();
    let level = match global.verbose {
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let tree = (global.verbose > 0).then(|| {
        let printer = Printer::new().writer(std::io::stderr);
        ForestLayer::new(printer, tracing_forest::tag::NoTag).with_filter(level)
    });
    let phases = spinner.then(|| {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        PhaseLayer(SPINNER.get_or_init(|| bar).clone()).with_filter(LevelFilter::INFO)
    });
    tracing_subscriber::registry()
        .with(tree)
        .with(phases)
        .init();
}

/// Removes the spinner.
pub fn finish() {
    if let Some(bar) = SPINNER.get() {
        bar.finish_and_clear();
    }
}

/// Prints a note on standard error, above the spinner.
pub fn note(text: &str) {
    let text = printable(text);
    match SPINNER.get() {
        Some(bar) => bar.suspend(|| eprintln!("{text}")),
        None => eprintln!("{text}"),
    }
}

/// Shows the name of the span that was entered last.
struct PhaseLayer(ProgressBar);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for PhaseLayer {
    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && *span.metadata().level() == Level::INFO
        {
            self.0.set_message(span.name());
        }
    }
}
