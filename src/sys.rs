//! What a program and a web page do differently: waiting and telling the time.

use std::cell::Cell;
use std::task::Poll;
use std::thread::LocalKey;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use std::time::Instant;
#[cfg(target_arch = "wasm32")]
pub(crate) use web_time::Instant;

use crate::error::Result;

/// The width of the terminal in characters: what `COLUMNS` says, or else the terminal itself; 80 where there is none.
pub(crate) fn terminal_columns() -> usize {
    #[cfg(not(target_arch = "wasm32"))]
    let own = || terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0));
    #[cfg(target_arch = "wasm32")]
    let own = || None;
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let some = |columns: &usize| *columns > 0;
    said.filter(some).or_else(own).filter(some).unwrap_or(80)
}

/// Whether this is a terminal in which a line can be drawn over.
pub(crate) fn draws(out: &impl std::io::IsTerminal) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some();
    out.is_terminal()
        && match cfg!(windows) {
            // The old console prints the commands.
            true => ["WT_SESSION", "TERM", "ANSICON", "ConEmuANSI"].into_iter().any(set),
            false => std::env::var_os("TERM").is_none_or(|kind| kind != "dumb"),
        }
}

/// Erases from the cursor to the end of the line.
pub(crate) const ERASE: &str = "\x1b[K";

/// A text over the line that the cursor is in, cut off where the terminal ends: a second line could not be drawn over.
pub(crate) fn over(text: &str) -> String {
    format!("\r\x1b[?7l{text}{ERASE}\x1b[?7h")
}

/// Seconds since 1970.
#[cfg(any(feature = "keras", feature = "tensorboard"))]
pub(crate) fn wall_time() -> f64 {
    #[cfg(not(target_arch = "wasm32"))]
    use std::time::SystemTime;
    #[cfg(target_arch = "wasm32")]
    use web_time::SystemTime;
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Year, month, day, hour, minute and second of a time in seconds since 1970; the day by Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>).
#[cfg(any(feature = "keras", feature = "tensorboard"))]
pub(crate) fn date(seconds: u64) -> [u64; 6] {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    [year, month, day, second / 3600, second / 60 % 60, second % 60]
}

thread_local! {
    static BLOCKING: Cell<bool> = const { Cell::new(false) };
    static DEFERRING: Cell<bool> = const { Cell::new(false) };
}

/// Sets a switch of this thread while it lives.
struct Switched(&'static LocalKey<Cell<bool>>, bool);

impl Switched {
    fn new(switch: &'static LocalKey<Cell<bool>>, on: bool) -> Self {
        Switched(switch, switch.replace(on))
    }
}

impl Drop for Switched {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

/// Runs `submit`, the first half of an asynchronous method: what an engine of this machine's own processor is to compute
/// goes to another thread.
pub(crate) fn deferring<R>(submit: impl FnOnce() -> R) -> R {
    let _switched = Switched::new(&DEFERRING, !may_block());
    submit()
}

/// Whether what is submitted now will be awaited and need not be done in the call.
pub(crate) fn may_defer() -> bool {
    DEFERRING.get()
}

/// Whether the future that this thread is polling may wait in place: inside [`block_on`], where nothing else is waiting
/// for the thread. Everywhere else a future must give the thread back.
pub(crate) fn may_block() -> bool {
    BLOCKING.get()
}

/// Gives whoever polls its thread back once.
pub(crate) async fn yielded() {
    let mut first = true;
    std::future::poll_fn(|cx| {
        if std::mem::take(&mut first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

/// How many threads can work at a time here.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// So many items are prepared ahead at most: room for them is made at once.
#[cfg(not(target_arch = "wasm32"))]
const MOST_AHEAD: usize = 4096;

/// What an iterator gives, up to `count` items ahead of who takes them, from a thread that makes and runs it. A panic there is
/// an error in place of the next item. Without the one who takes them, the thread ends.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn ahead<T, I>(count: usize, make: impl FnOnce() -> I + Send + 'static) -> impl Iterator<Item = Result<T>>
where
    T: Send + 'static,
    I: Iterator<Item = Result<T>>,
{
    use crate::error::Error;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    let (sender, receiver) = std::sync::mpsc::sync_channel(count.min(MOST_AHEAD));
    let failed = sender.clone();
    let work = move || {
        let all = || make().try_for_each(|item| sender.send(item).ok());
        if let Err(panic) = catch_unwind(AssertUnwindSafe(all)) {
            let words = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            let error =
                Error::internal(format!("A thread that prepares data panicked: {}", words.unwrap_or("no words")));
            let _ = sender.send(Err(error));
        }
    };
    if let Err(why) = std::thread::Builder::new().name("wgtensor data".to_owned()).spawn(work) {
        // Nothing was sent yet, and there is room for one.
        let _ = failed.send(Err(Error::internal(format!("A thread to prepare data could not be started: {why}"))));
    }
    drop(failed);
    receiver.into_iter()
}

/// A page has one thread.
#[cfg(target_arch = "wasm32")]
pub(crate) fn ahead<T, I: Iterator<Item = Result<T>>>(_: usize, make: impl FnOnce() -> I) -> I {
    make()
}

/// The blocking shell of the crate's asynchronous methods.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let _switched = Switched::new(&BLOCKING, true);
    pollster::block_on(future)
}

/// A page cannot wait: what is not ready at once is an error.
#[cfg(target_arch = "wasm32")]
#[track_caller]
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    use crate::error::{Error, Kind};
    futures::FutureExt::now_or_never(future).unwrap_or_else(|| {
        Err(Error::parts(
            Kind::Unsupported,
            "A web page cannot wait for the GPU",
            "a call of a blocking method",
            "a method that returns a future",
            "Use the method's `_async` twin and await it",
        ))
    })
}

#[cfg(all(test, any(feature = "keras", feature = "tensorboard")))]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), [1970, 1, 1, 0, 0, 0]);
        assert_eq!(date(951_782_399), [2000, 2, 28, 23, 59, 59]);
        assert_eq!(date(951_868_800), [2000, 3, 1, 0, 0, 0]);
        assert_eq!(date(4_107_542_399), [2100, 2, 28, 23, 59, 59]);
    }
}
