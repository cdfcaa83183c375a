//! A profile as Chrome's trace, host and device on one time line.

use std::path::Path;

use serde_json::{Value, json};

use super::profile::Profile;
use crate::error::{Result, entry};
use crate::files;

/// The rows of the host, and of the device, are those of two processes.
const HOST: u32 = 1;
const DEVICE: u32 = 2;

/// Something that took its time, in whole nanoseconds.
struct Event<'a> {
    begin: u64,
    end: u64,
    name: &'a str,
    args: Value,
}

impl Profile {
    /// The profile in the trace event format, as `chrome://tracing` and <https://ui.perfetto.dev> show it: above what each thread
    /// of the host did ([`host`](Profile::host)), below what ran on the device, on one time line.
    ///
    /// ```
    /// # use wgtensor::{DType, Device, Tensor};
    /// let device = Device::best();
    /// let x = Tensor::ones([64, 64], DType::F32, &device)?;
    /// let (_, profile) = device.profile(|| x.matmul(&x)?.relu()?.to_vec::<f32>())?;
    /// # let path = std::env::temp_dir().join(format!("wgtensor-trace-{}.json", std::process::id()));
    /// # let path = path.as_path();
    /// profile.save_trace(path)?; // "trace.json"
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn to_chrome_trace(&self) -> String {
        let mut events = vec![named("process_name", HOST, 0, "host"), named("process_name", DEVICE, 0, &self.device)];
        let mut threads: Vec<&str> = Vec::new();
        for span in &self.host {
            if !threads.contains(&&span.thread[..]) {
                threads.push(&span.thread);
            }
        }
        let mut row = 0;
        for thread in threads {
            let own = self.host.iter().filter(|span| span.thread == thread);
            let spans = own.map(|span| event(span.begin, span.seconds, span.name, json!({})));
            rows(HOST, &mut row, thread, spans.collect(), &mut events);
        }
        let kernels = self.kernels.iter().map(|kernel| {
            let (what, operations) = kernel.name.split_once(": ").unwrap_or((&kernel.name, ""));
            let [x, y, z] = kernel.groups;
            let mut args = json!({"kernel": what, "operations": operations});
            if kernel.groups != [0; 3] {
                args["work-groups"] = format!("{x}x{y}x{z}").into();
            }
            event(kernel.begin, kernel.seconds, &kernel.name, args)
        });
        rows(DEVICE, &mut 0, "kernels", kernels.collect(), &mut events);
        json!({"displayTimeUnit": "ms", "traceEvents": events}).to_string()
    }

    /// Writes [`to_chrome_trace`](Profile::to_chrome_trace) to a file, in place of one that is there.
    ///
    /// # Errors
    /// A file that cannot be written.
    #[track_caller]
    pub fn save_trace(&self, path: impl AsRef<Path>) -> Result<()> {
        entry(|| files::replace(path.as_ref(), self.to_chrome_trace().as_bytes()))
    }
}

fn event(begin: f64, seconds: f64, name: &str, args: Value) -> Event<'_> {
    let nanoseconds = |seconds: f64| (seconds.max(0.0) * 1e9).round() as u64;
    Event { begin: nanoseconds(begin), end: nanoseconds(begin + seconds), name, args }
}

/// The word that names a process or a row.
fn named(what: &str, process: u32, row: usize, name: &str) -> Value {
    json!({"ph": "M", "name": what, "pid": process, "tid": row, "args": {"name": name}})
}

/// Writes events in as few rows as they need: those of one row follow each other or lie within each other.
fn rows<'a>(process: u32, next: &mut usize, name: &str, mut events: Vec<Event<'a>>, out: &mut Vec<Value>) {
    // What holds others comes first.
    events.sort_by_key(|e| (e.begin, std::cmp::Reverse(e.end)));
    // The ends of what is open in each row.
    let mut open: Vec<Vec<u64>> = Vec::new();
    for Event { begin, end, name: what, args } in events {
        let fits = |ends: &mut Vec<u64>| {
            while ends.pop_if(|end| *end <= begin).is_some() {}
            ends.last().is_none_or(|last| end <= *last)
        };
        let row = open.iter_mut().position(fits).unwrap_or(open.len());
        if row == open.len() {
            let title = if row == 0 { name.to_owned() } else { format!("{name} ({})", row + 1) };
            out.push(named("thread_name", process, *next + row, &title));
            open.push(Vec::new());
        }
        open[row].push(end);
        let micro = |nanoseconds: u64| nanoseconds as f64 / 1e3;
        out.push(json!({
            "ph": "X",
            "name": what,
            "cat": if process == HOST { "host" } else { "device" },
            "pid": process,
            "tid": *next + row,
            "ts": micro(begin),
            "dur": micro(end - begin),
            "args": args,
        }));
    }
    *next += open.len();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::profile::{HostSpan, KernelTime};

    fn span(name: &'static str, thread: &str, begin: f64, seconds: f64) -> HostSpan {
        HostSpan { name, thread: thread.into(), begin, seconds }
    }

    #[test]
    fn rows_hold_what_nests_and_threads_have_rows_of_their_own() {
        let profile = Profile {
            device: "gpu \"0\"".into(),
            host: vec![
                span("run", "main", 0.001, 0.002),
                span("profile", "main", 0.0, 0.01),
                span("wait", "main", 0.002, 0.02),
                span("run", "other", 0.0, 0.001),
            ],
            kernels: vec![KernelTime {
                name: "gemm: matmul+add".into(),
                groups: [4, 2, 1],
                begin: 0.0015,
                seconds: 1e-3,
            }],
            wall: 0.03,
        };
        let trace: Value = serde_json::from_str(&profile.to_chrome_trace()).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let row = |name: &str, at: usize| {
            let all: Vec<&Value> = events.iter().filter(|e| e["ph"] == "X" && e["name"] == name).collect();
            (all[at]["pid"].as_u64().unwrap(), all[at]["tid"].as_u64().unwrap())
        };
        // `wait` lies neither within `profile` nor behind it.
        assert_eq!([row("profile", 0), row("run", 0), row("wait", 0), row("run", 1)], [(1, 0), (1, 0), (1, 1), (1, 2)]);
        let names: Vec<&str> =
            events.iter().filter(|e| e["name"] == "thread_name").map(|e| e["args"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["main", "main (2)", "other", "kernels"]);
        let kernel = events.iter().find(|e| e["cat"] == "device").unwrap();
        assert_eq!((kernel["ts"].as_f64().unwrap(), kernel["dur"].as_f64().unwrap()), (1500.0, 1000.0));
        assert_eq!(kernel["args"], json!({"kernel": "gemm", "operations": "matmul+add", "work-groups": "4x2x1"}));
        assert!(serde_json::from_str::<Value>(&Profile::default().to_chrome_trace()).is_ok());
    }
}
