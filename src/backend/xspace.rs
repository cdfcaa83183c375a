//! A profile as TensorBoard's profiler reads it: an `XSpace` (OpenXLA's `xplane.proto`).

use std::collections::HashMap;
use std::fs::create_dir;
use std::path::{Path, PathBuf};

use super::profile::Profile;
use super::trace::{Event, Row};
use crate::error::{Result, entry};
use crate::files;
use crate::protobuf::Message;
use crate::sys::{date, wall_time};

/// What is told of a kernel, by its number in a plane's table of names.
const STATS: [(u64, &str); 2] = [(OPERATIONS, "tf_op"), (DETAILS, "kernel_details")];
const OPERATIONS: u64 = 1;
const DETAILS: u64 = 2;

impl Profile {
    /// Writes the profile for TensorBoard's profiler, below the `log_dir` that TensorBoard shows, as a run named by the time
    /// (UTC). Returns the file. Behind the feature `tensorboard`.
    ///
    /// The trace viewer shows host and device on one time line; of a GPU there are also the tables of its kernels and of the
    /// operations that they compute. The overview, which is shown first, knows of no steps. Install `tensorboard` and
    /// `tensorboard-plugin-profile` from PyPI to see it.
    ///
    /// ```
    /// # use wgtensor::{Device, DType, Tensor};
    /// # let device = Device::best();
    /// # let logs = std::env::temp_dir().join(format!("wgtensor-xspace-{}", std::process::id()));
    /// let x = Tensor::ones([64, 64], DType::F32, &device)?;
    /// let (_, profile) = device.profile(|| x.matmul(&x)?.relu()?.to_vec::<f32>())?;
    /// let file = profile.save_tensorboard(&logs)?;
    /// assert!(file.starts_with(logs.join("plugins/profile")));
    /// # std::fs::remove_dir_all(logs).ok();
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A file that cannot be written.
    #[track_caller]
    pub fn save_tensorboard(&self, log_dir: impl AsRef<Path>) -> Result<PathBuf> {
        entry(|| {
            let runs = log_dir.as_ref().join("plugins").join("profile");
            files::make_folder(&runs, "profile")?;
            let path = new_folder(&runs)?.join("wgtensor.xplane.pb");
            files::replace(&path, &self.to_xspace())?;
            Ok(path)
        })
    }

    fn to_xspace(&self) -> Vec<u8> {
        // The profiler knows what a plane is by its name. The engine on the processor is none of the devices that it knows.
        let gpu = self.kernels.iter().any(|kernel| kernel.groups != [0; 3]);
        let device = if gpu { "/device:GPU:0" } else { "/device:CUSTOM:CPU engine" };
        let mut space = Message::default();
        space.bytes(1, &plane("/host:CPU", &self.host_rows()));
        space.bytes(1, &plane(device, &self.device_rows()));
        space.bytes(4, self.device.as_bytes());
        space.0
    }
}

/// A folder that was not there, named by the time.
fn new_folder(runs: &Path) -> Result<PathBuf> {
    let [year, month, day, hour, minute, second] = date(wall_time() as u64);
    let name = format!("{year:04}_{month:02}_{day:02}_{hour:02}_{minute:02}_{second:02}");
    for more in 0.. {
        let folder = runs.join(if more == 0 { name.clone() } else { format!("{name}_{more}") });
        match create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(why) if why.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(why) => return Err(files::failed("made", &folder, &why)),
        }
    }
    unreachable!("there are more numbers than folders")
}

fn plane(name: &str, rows: &[Row<'_>]) -> Vec<u8> {
    let mut plane = Message::default();
    plane.bytes(2, name.as_bytes());
    let mut names: HashMap<&str, u64> = HashMap::new();
    for (row, id) in rows.iter().zip(1..) {
        let mut line = Message::default();
        line.integer(1, id).bytes(2, row.title.as_bytes());
        for event in &row.events {
            let next = names.len() as u64 + 1;
            line.bytes(4, &encode(event, *names.entry(label(event)).or_insert(next)));
        }
        plane.bytes(3, &line.0);
    }
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_by_key(|(_, id)| *id);
    for (table, entries) in [(4, &names[..]), (5, &STATS.map(|(id, name)| (name, id)))] {
        for (name, id) in entries {
            let [mut named, mut entry] = [(); 2].map(|()| Message::default());
            named.integer(1, *id).bytes(2, name.as_bytes());
            entry.integer(1, *id).bytes(2, &named.0);
            plane.bytes(table, &entry.0);
        }
    }
    plane.0
}

/// What an event is listed under: a kernel without its operations, which have a column of their own.
fn label<'a>(event: &Event<'a>) -> &'a str {
    event.kernel.map_or(event.name, |kernel| kernel.parts().0)
}

fn encode(event: &Event<'_>, name: u64) -> Vec<u8> {
    const PICOSECONDS: u64 = 1000;
    let mut message = Message::default();
    message.integer(1, name).integer(2, event.begin * PICOSECONDS).integer(3, (event.end - event.begin) * PICOSECONDS);
    let mut stat = |id: u64, value: &str| {
        let mut stat = Message::default();
        stat.integer(1, id).bytes(5, value.as_bytes());
        message.bytes(4, &stat.0);
    };
    if let Some(kernel) = event.kernel {
        let (_, operations) = kernel.parts();
        if !operations.is_empty() {
            // A name and, behind the colon, its type.
            let first = operations.split('+').next().unwrap_or_default();
            stat(OPERATIONS, &format!("{operations}:{first}"));
        }
        if let [x, y, z @ (1..)] = kernel.groups {
            stat(DETAILS, &format!("grid:{x},{y},{z}"));
        }
    }
    message.0
}
