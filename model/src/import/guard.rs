//! Runs code of others that may panic on hostile files.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Calls `f`; a panic becomes an error with its message, and nothing is printed.
///
/// The panic hook is process-wide, so it is wrapped once, and silences only threads that are
/// inside this function.
pub(crate) fn guarded<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info| {
            if !QUIET.get() {
                previous(info);
            }
        }));
    });
    let was_quiet = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    QUIET.set(was_quiet);
    result.map_err(|payload| {
        let message = payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        format!("internal error: {}", message.unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::guarded;

    #[test]
    fn panic_becomes_an_error_and_values_pass() {
        assert_eq!(guarded(|| 3), Ok(3));
        let error = guarded(|| -> u8 { panic!("bad {}", 7) });
        assert_eq!(error, Err("internal error: bad 7".to_owned()));
    }
}
