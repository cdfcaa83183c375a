//! Files with bytes changed, cut out and doubled at random: each reader gives data or an error, in a moment. `WGTENSOR_FUZZ` says
//! for how many seconds each is tried.

use std::time::Instant;

use wgtensor::Result;

use super::changes::Random;

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
