use pollster::block_on;

use super::super::{GpuBackend, adapter};
use super::*;
use crate::backend::DeviceOptions;
use crate::{Device, Tensor};

/// A directory of this test's own, gone after it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wgtensor-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Scratch(path)
    }

    /// Below it, so that it need not exist.
    fn options(&self) -> DeviceOptions {
        DeviceOptions { cache: KernelCache::Directory(self.0.join("kernels")), ..Default::default() }
    }

    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.0.join("kernels")).into_iter().flatten();
        files.map(|f| f.unwrap().path()).collect()
    }

    fn file(&self) -> PathBuf {
        let [file] = &self.files()[..] else { panic!("one file, not {:?}", self.files()) };
        file.clone()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Opens a device and has it compile; what its cache took from the file, or that it has none.
fn run(options: &DeviceOptions) -> Option<usize> {
    let gpu = block_on(adapter::open(0, options)).expect("a GPU adapter (a software one will do)");
    compute(gpu, options)
}

fn compute(gpu: GpuBackend, options: &DeviceOptions) -> Option<usize> {
    let loaded = gpu.core.cache.as_ref().map(|c| c.state().kept);
    let device = Device::of_gpu(gpu, options).unwrap();
    let x = Tensor::new([[1.0f32, 2.0], [3.0, 4.0]], &device).unwrap();
    assert_eq!(x.matmul(&x).unwrap().add(1.0).unwrap().to_vec::<f32>().unwrap(), [8.0, 11.0, 16.0, 23.0]);
    loaded
}

/// Whether the adapter of these tests can keep what it compiles.
fn able() -> bool {
    let gpu = block_on(adapter::open(0, &DeviceOptions { cache: KernelCache::Off, ..Default::default() }));
    gpu.unwrap().core.device.features().contains(wgpu::Features::PIPELINE_CACHE)
}

#[test]
fn the_next_device_takes_what_the_last_one_left() {
    let scratch = Scratch::new("next");
    if !able() {
        assert_eq!(run(&scratch.options()), None);
        return;
    }
    assert_eq!(run(&scratch.options()), Some(0));
    assert!(run(&scratch.options()).is_some_and(|loaded| loaded > 0));
    #[cfg(unix)]
    for (path, mode) in [(scratch.0.join("kernels"), 0o700), (scratch.file(), 0o600)] {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode, "{}", path.display());
    }
}

#[test]
fn what_is_switched_off_or_lent_keeps_nothing() {
    let scratch = Scratch::new("off");
    assert_eq!(run(&DeviceOptions { cache: KernelCache::Off, ..Default::default() }), None);
    let own = block_on(adapter::open(0, &DeviceOptions { cache: KernelCache::Off, ..Default::default() })).unwrap();
    let lent = |options: &DeviceOptions| {
        compute(GpuBackend::from_wgpu(own.core.device.clone(), own.core.queue.clone(), options).unwrap(), options)
    };
    assert_eq!(lent(&DeviceOptions::default()), None);
    assert!(scratch.files().is_empty());
    assert_eq!(lent(&scratch.options()).is_some(), able(), "asked for");
    assert_eq!(run(&DeviceOptions { webgpu_defaults: true, ..scratch.options() }), None);
}

#[test]
fn a_broken_file_is_ignored_and_replaced() {
    let scratch = Scratch::new("broken");
    if !able() {
        return;
    }
    run(&scratch.options());
    let (file, good) = (scratch.file(), fs::read(scratch.file()).unwrap());
    let flipped = |at: usize| {
        let mut data = good.clone();
        data[at] ^= 1;
        data
    };
    // Well made, and another adapter's: wgpu finds the adapter's identity in bytes 17 to 31.
    let mut foreign = flipped(17);
    foreign.truncate(good.len() - CHECKSUM);
    foreign.extend(checksum(&foreign));
    let cases = [
        ("empty", Vec::new()),
        ("nothing, with its checksum", checksum(&[]).to_vec()),
        ("short", vec![1; CHECKSUM]),
        ("truncated", good[..good.len() - 1].to_vec()),
        ("half", good[..good.len() / 2].to_vec()),
        ("longer", [&good[..], &[0]].concat()),
        ("its first byte", flipped(0)),
        ("its payload", flipped(good.len() - CHECKSUM - 1)),
        ("its checksum", flipped(good.len() - 1)),
        ("another adapter's", foreign),
    ];
    for (what, data) in cases {
        fs::write(&file, data).unwrap();
        assert_eq!(run(&scratch.options()), Some(0), "{what}");
        assert!(load(&file).is_ok(), "{what} was not replaced");
        assert!(run(&scratch.options()).is_some_and(|loaded| loaded > 0), "{what}");
    }
}

#[test]
fn a_device_that_is_lost_leaves_the_file_as_it_is() {
    let scratch = Scratch::new("lost");
    if !able() {
        return;
    }
    run(&scratch.options());
    let good = fs::read(scratch.file()).unwrap();
    let gpu = block_on(adapter::open(0, &scratch.options())).unwrap();
    gpu.core.cache.as_ref().unwrap().grew(STALE);
    gpu.core.device.destroy();
    drop(gpu);
    assert_eq!(fs::read(scratch.file()).unwrap(), good);
}

#[test]
fn where_nothing_can_be_written_nothing_is_kept() {
    if !able() {
        return;
    }
    // A file in the place of the directory, and a directory in that of the file.
    let scratch = Scratch::new("unwritable");
    fs::create_dir_all(&scratch.0).unwrap();
    fs::write(scratch.0.join("kernels"), "").unwrap();
    assert_eq!(run(&scratch.options()), None);
    fs::remove_file(scratch.0.join("kernels")).unwrap();
    run(&scratch.options());
    let file = scratch.file();
    fs::remove_file(&file).unwrap();
    fs::create_dir_all(file.join("full")).unwrap();
    assert_eq!(run(&scratch.options()), Some(0));
    assert_eq!(scratch.file(), file, "no part is left behind");
    fs::remove_dir_all(&file).unwrap();
    #[cfg(unix)]
    for (mode, expected) in [(0o555, Some(0)), (0o777, None)] {
        use std::os::unix::fs::PermissionsExt;
        // (Root may write where it is forbidden.)
        fs::set_permissions(scratch.0.join("kernels"), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(run(&scratch.options()), expected, "{mode:o}");
        let _ = fs::remove_file(&file);
    }
}

#[test]
fn who_writes_at_once_leaves_a_whole_file() {
    let scratch = Scratch::new("at-once");
    fs::create_dir_all(&scratch.0).unwrap();
    let file = scratch.0.join("file");
    std::thread::scope(|scope| {
        let file = &file;
        for writer in 0..4u8 {
            scope.spawn(move || {
                for turn in 0..50 {
                    // Somebody else may be writing; then this one is left out.
                    let _ = store(file, &vec![writer; 1000 * (turn + 1)]);
                    if file.exists() {
                        let data = load(file).unwrap();
                        assert!(data.iter().all(|b| *b == data[0]));
                    }
                }
            });
        }
        let devices: Vec<_> = (0..3).map(|_| scope.spawn(|| run(&scratch.options()))).collect();
        for device in devices {
            assert_eq!(device.join().unwrap().is_some(), able());
        }
    });
    assert!(!file.with_extension("part").exists());
    assert_eq!(run(&scratch.options()).is_some_and(|loaded| loaded > 0), able());
    assert_eq!(scratch.files().len(), usize::from(able()));
}

#[test]
fn a_writer_that_died_and_a_file_too_large_are_got_over() {
    let scratch = Scratch::new("got-over");
    fs::create_dir_all(&scratch.0).unwrap();
    let (file, part) = (scratch.0.join("file"), scratch.0.join("file.part"));
    let writing = File::create(&part).unwrap();
    assert_eq!(store(&file, b"new").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert!(part.exists(), "the other is still at it");
    writing.set_modified(SystemTime::now() - 2 * STALE).unwrap();
    store(&file, b"new").unwrap();
    assert_eq!(load(&file).unwrap(), b"new");
    assert!(!part.exists());
    store(&file, &vec![0; MOST]).unwrap();
    assert_eq!(load(&file).unwrap().len(), MOST);
    store(&file, &vec![0; MOST + 1]).unwrap();
    assert!(!file.exists(), "the next one begins anew");
}
