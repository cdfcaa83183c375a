//! Files with bytes changed, cut out and doubled at random: each reader gives data or an error, in a moment. `WGTENSOR_FUZZ` says
//! for how many seconds each is tried.

use std::time::Instant;

use wgtensor::Result;

const TEXT: &[u8] = b"0123456789-,\"\n\r;()[]{}:'|<> .eE";

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            let to = (at + 1 + self.below(16)).min(bytes.len());
            match self.below(7) {
                0 => drop(bytes.drain(at..to)),
                1 => {
                    let piece = bytes[at..to].to_vec();
                    bytes.splice(at..at, piece);
                }
                2 => bytes[at..to].fill([0, 255][self.below(2)]),
                3 => bytes.truncate(to),
                // What texts and headers are made of.
                4 => bytes[at] = TEXT[self.below(TEXT.len())],
                _ => bytes[at] = self.below(256) as u8,
            }
        }
    }
}

/// Gives changed files to a reader.
fn fuzz(whole: &[u8], read: impl Fn(&[u8]) -> Result<()>) {
    read(whole).unwrap();
    let seconds = std::env::var("WGTENSOR_FUZZ").map_or(0.3, |seconds| seconds.parse().unwrap());
    let mut random = Random(u64::from(std::process::id()));
    let (begun, mut count, mut refused) = (Instant::now(), 0, 0);
    while begun.elapsed().as_secs_f64() < seconds {
        let (seed, mut bytes) = (random.0, whole.to_vec());
        random.change(&mut bytes);
        refused += usize::from(read(&bytes).is_err());
        count += 1;
        assert!(begun.elapsed().as_secs_f64() < seconds + 10.0, "hangs at seed {seed}");
    }
    println!("{refused} of {count} refused");
    assert!(refused > 0 && count > 10);
}

#[test]
fn idx() {
    let pixels: Vec<u8> = (0..=255).collect();
    let whole = [&[0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0, 8][..], &pixels].concat();
    fuzz(&whole, |bytes| wgtensor::data::idx::parse(bytes).map(drop));
}

#[test]
#[cfg(feature = "csv")]
fn tables() {
    use wgtensor::data::Csv;

    let whole = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/iris.csv")).unwrap();
    let plain = whole.lines().take(30).collect::<Vec<_>>().join("\n");
    let quoted = b"a,b,\"c \"\"d\"\"\"\r\n1,\"x\ny\",2.5\r\n-3,,1e3\r\n,z,nan\r\n";
    for whole in [plain.as_bytes(), quoted] {
        fuzz(whole, |bytes| {
            let table = Csv::new().fill(0.0).fill_text("none").parse(bytes)?;
            for name in table.names().to_vec() {
                table.numbers([&name]).ok();
                table.labels(&name).ok();
                table.text(&name)?;
            }
            Ok(())
        });
    }
}

#[test]
#[cfg(feature = "npy")]
fn numpy() -> Result<()> {
    use wgtensor::data::{Array, npy, npz};

    let array = Array::from_slice(&(0..60).map(|i| i as f32).collect::<Vec<_>>(), [3, 4, 5])?;
    fuzz(&npy::to_bytes(&array)?, |bytes| npy::parse(bytes).map(drop));
    fuzz(&npz::to_bytes([("a", &array), ("b", &array)])?, |bytes| npz::parse(bytes).map(drop));
    Ok(())
}

#[test]
#[cfg(feature = "image")]
fn images() {
    use wgtensor::data::ImageFolder;

    let folder = std::env::temp_dir().join(format!("wgtensor-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("a")).unwrap();
    let file = folder.join("a/one.png");
    let whole = include_bytes!("../fixtures/models/dot.png");
    fuzz(whole, |bytes| {
        std::fs::write(&file, bytes).unwrap();
        let images = ImageFolder::open(&folder)?.image_size(8, 8);
        (&images.dataset()).into_iter().try_for_each(|item| item.map(drop))
    });
    std::fs::remove_dir_all(folder).ok();
}
