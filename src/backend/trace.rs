//! A profile as Chrome's trace, host and device on one time line.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::profile::{KernelTime, Profile};
use crate::error::{Result, entry};
use crate::files;

/// The rows of the host, and of the device, are those of two processes.
const HOST: u32 = 1;
const DEVICE: u32 = 2;

/// Something that took its time, in whole nanoseconds since the profile began.
pub(super) struct Event<'a> {
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) name: &'a str,
    /// The kernel that ran, if it was one.
    pub(super) kernel: Option<&'a KernelTime>,
}

/// Events that follow each other or lie within each other.
pub(super) struct Row<'a> {
    pub(super) title: String,
    pub(super) events: Vec<Event<'a>>,
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
        for (process, rows) in [(HOST, self.host_rows()), (DEVICE, self.device_rows())] {
            for (i, row) in rows.iter().enumerate() {
                events.push(named("thread_name", process, i, &row.title));
                events.extend(row.events.iter().map(|event| event.to_json(process, i)));
            }
        }
        json!({"displayTimeUnit": "ms", "traceEvents": events}).to_string()
    }

    /// What each thread of the host did.
    pub(super) fn host_rows(&self) -> Vec<Row<'_>> {
        let mut threads: Vec<&str> = Vec::new();
        for span in &self.host {
            if !threads.contains(&&span.thread[..]) {
                threads.push(&span.thread);
            }
        }
        let of = |thread| {
            let own = self.host.iter().filter(move |span| span.thread == thread);
            rows(thread, own.map(|span| Event::new(span.begin, span.seconds, span.name, None)).collect())
        };
        threads.into_iter().flat_map(of).collect()
    }

    /// What ran on the device.
    pub(super) fn device_rows(&self) -> Vec<Row<'_>> {
        let kernels = self.kernels.iter();
        rows("kernels", kernels.map(|k| Event::new(k.begin, k.seconds, &k.name, Some(k))).collect())
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

impl<'a> Event<'a> {
    fn new(begin: f64, seconds: f64, name: &'a str, kernel: Option<&'a KernelTime>) -> Self {
        let nanoseconds = |seconds: f64| (seconds.max(0.0) * 1e9).round() as u64;
        Event { begin: nanoseconds(begin), end: nanoseconds(begin + seconds), name, kernel }
    }

    fn to_json(&self, process: u32, row: usize) -> Value {
        let args = self.kernel.map_or_else(Map::new, |kernel| {
            let (what, operations) = kernel.parts();
            let mut args = Map::from_iter([("kernel".into(), what.into()), ("operations".into(), operations.into())]);
            if let [x, y, z @ (1..)] = kernel.groups {
                args.insert("work-groups".into(), format!("{x}x{y}x{z}").into());
            }
            args
        });
        let micro = |nanoseconds: u64| nanoseconds as f64 / 1e3;
        json!({
            "ph": "X",
            "name": self.name,
            "cat": if process == HOST { "host" } else { "device" },
            "pid": process,
            "tid": row,
            "ts": micro(self.begin),
            "dur": micro(self.end - self.begin),
            "args": args,
        })
    }
}

/// The word that names a process or a row.
fn named(what: &str, process: u32, row: usize, name: &str) -> Value {
    json!({"ph": "M", "name": what, "pid": process, "tid": row, "args": {"name": name}})
}

/// Events in as few rows as they need.
fn rows<'a>(title: &str, mut events: Vec<Event<'a>>) -> Vec<Row<'a>> {
    // What holds others comes first.
    events.sort_by_key(|e| (e.begin, std::cmp::Reverse(e.end)));
    let mut rows: Vec<Row<'_>> = Vec::new();
    // The ends of what is open in each row.
    let mut open: Vec<Vec<u64>> = Vec::new();
    for event in events {
        let fits = |ends: &mut Vec<u64>| {
            while ends.pop_if(|end| *end <= event.begin).is_some() {}
            ends.last().is_none_or(|last| event.end <= *last)
        };
        let i = open.iter_mut().position(fits).unwrap_or(open.len());
        if i == open.len() {
            let title = if i == 0 { title.to_owned() } else { format!("{title} ({})", i + 1) };
            rows.push(Row { title, events: Vec::new() });
            open.push(Vec::new());
        }
        open[i].push(event.end);
        rows[i].events.push(event);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::profile::HostSpan;

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
