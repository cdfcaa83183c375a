//! Ending training from outside, say by Ctrl-C.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Twice the number of `fit`s that run, and 1 once they were asked to end.
static STATE: AtomicUsize = AtomicUsize::new(0);

/// Asks every [`fit`](crate::nn::Model::fit) that runs in this program to end after the step in hand; each then returns the
/// history of the epochs that were whole, with [`History::interrupted`](crate::nn::History::interrupted) set.
///
/// `false` if there is none to ask, or if they were asked before: what asks a second time means the program. It only
/// touches a number, so that a signal handler may call it.
///
/// With the feature `ctrlc`, Ctrl-C does this while a `fit` runs; the second one, and one where none runs, ends the program
/// with code 130. A handler that the program had set before its first `fit` stays, and can do the same:
///
/// ```
/// fn on_interrupt() {
///     if !wgtensor::nn::interrupt() {
///         std::process::exit(130);
///     }
/// }
/// ```
pub fn interrupt() -> bool {
    STATE.fetch_update(SeqCst, SeqCst, |state| (state >= 2 && state % 2 == 0).then_some(state + 1)).is_ok()
}

/// A `fit` that can be interrupted, while it lives.
pub(crate) struct Watch(());

impl Watch {
    pub(crate) fn new() -> Self {
        listen();
        STATE.fetch_add(2, SeqCst);
        Watch(())
    }

    /// Whether it was asked to end.
    pub(crate) fn asked(&self) -> bool {
        STATE.load(SeqCst) % 2 == 1
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // With the last of them the question is answered.
        let _ = STATE.fetch_update(SeqCst, SeqCst, |state| Some(if state <= 3 { 0 } else { state - 2 }));
    }
}

/// Hears Ctrl-C from the first `fit` on, unless the program does so itself.
fn listen() {
    #[cfg(all(feature = "ctrlc", not(target_arch = "wasm32")))]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            let handler = || {
                if !interrupt() {
                    std::process::exit(130);
                }
            };
            if let Err(why) = ctrlc::try_set_handler(handler) {
                log::debug!("Ctrl-C is left to the program: {why}");
            }
        });
    }
}
