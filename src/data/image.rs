//! Folders of images.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{DynamicImage, ImageReader};

use super::array::Array;
use super::damage::damaged;
use super::dataset::Dataset;
use super::item::Item;
use crate::error::{Error, Kind, Result, entry};
use crate::files::failed;
use crate::sys::threads;

/// Which channels an image has.
///
/// ```no_run
/// use wgtensor::data::{ColorMode, ImageFolder};
///
/// let digits = ImageFolder::open("digits")?.color_mode(ColorMode::Grayscale).image_size(28, 28);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorMode {
    /// One: brightness.
    Grayscale,
    /// Three: red, green and blue.
    #[default]
    Rgb,
    /// Four: red, green, blue and opacity.
    Rgba,
}

/// Images in a folder for each class, as Keras's `image_dataset_from_directory` takes them: PNG and JPEG files, in the folders
/// themselves or deeper. The classes are the folders in alphabetical order.
///
/// The elements are an image of shape `(height, width, channels)` with numbers from 0 to 255 in single precision, and its
/// class number. They are read and decoded when they are gone over, by as many threads as there are cores: add
/// [`batch`](Dataset::batch) and [`prefetch`](Dataset::prefetch).
///
/// ```no_run
/// use wgtensor::data::ImageFolder;
/// use wgtensor::nn::prelude::*;
///
/// let images = ImageFolder::open("flowers/train")?.image_size(64, 64);
/// let classes = images.class_names().len();
/// let batches = images.shuffled(7).batch(32).prefetch(4);
/// let mut model = Sequential::new()
///     .add(Rescaling::new(1.0 / 255.0))
///     .add(Conv2D::new(16, 3).activation(Relu))
///     .add(GlobalAveragePooling2D::new())
///     .add(Dense::new(classes).activation(Softmax));
/// model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])?;
/// model.fit(batches, (), Fit::new().epochs(5))?;
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    class_names: Vec<String>,
    /// Each file with its class.
    files: Arc<[(PathBuf, i32)]>,
    height: usize,
    width: usize,
    color_mode: ColorMode,
}

impl ImageFolder {
    /// Finds the classes and the files.
    ///
    /// ```
    /// use wgtensor::data::ImageFolder;
    ///
    /// # let folder = std::env::temp_dir().join(format!("wgtensor-open-{}", std::process::id()));
    /// for class in ["cats", "dogs"] {
    ///     std::fs::create_dir_all(folder.join(class)).unwrap();
    ///     image::RgbImage::new(8, 6).save(folder.join(class).join("1.png")).unwrap();
    /// }
    /// let images = ImageFolder::open(&folder)?;
    /// assert_eq!((images.class_names(), images.files().len()), (&["cats".to_string(), "dogs".to_string()][..], 2));
    /// # std::fs::remove_dir_all(&folder).ok();
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// A folder that cannot be read, or without images in folders.
    #[track_caller]
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        let directory = directory.as_ref();
        entry(|| {
            let mut class_names = Vec::new();
            let mut files = Vec::new();
            for path in entries(directory)? {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if !path.is_dir() || name.starts_with('.') {
                    continue;
                }
                let class = class_names.len() as i32;
                class_names.push(name);
                images(&path, &mut |file| files.push((file, class)))?;
            }
            if files.is_empty() {
                return Err(Error::parts(
                    Kind::Argument,
                    &format!("No images found in directory {}", directory.display()),
                    &format!("{} folders without an image", class_names.len()),
                    "a folder of PNG or JPEG files for each class",
                    "Check the path",
                ));
            }
            let (height, width) = (256, 256);
            Ok(ImageFolder { class_names, files: files.into(), height, width, color_mode: ColorMode::Rgb })
        })
    }

    /// The size that all images are brought to, by bilinear interpolation; 256 by 256 by default.
    ///
    /// ```
    /// use wgtensor::data::ImageFolder;
    ///
    /// # let folder = std::env::temp_dir().join(format!("wgtensor-size-{}", std::process::id()));
    /// for class in ["cats", "dogs"] {
    ///     std::fs::create_dir_all(folder.join(class)).unwrap();
    ///     image::RgbImage::new(8, 6).save(folder.join(class).join("1.png")).unwrap();
    /// }
    /// let images = ImageFolder::open(&folder)?;
    /// let first = images.image_size(3, 4).dataset().into_iter().next().unwrap()?;
    /// assert_eq!(first.x()[0].dims(), [3, 4, 3]);
    /// # std::fs::remove_dir_all(&folder).ok();
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn image_size(mut self, height: usize, width: usize) -> Self {
        (self.height, self.width) = (height, width);
        self
    }

    /// The channels that all images are brought to; [`ColorMode::Rgb`] by default.
    pub fn color_mode(mut self, mode: ColorMode) -> Self {
        self.color_mode = mode;
        self
    }

    /// The names of the classes, in the order of their numbers.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The files, each with its class number.
    pub fn files(&self) -> &[(PathBuf, i32)] {
        &self.files
    }

    /// The images, class by class. One that cannot be decoded is an error in its place.
    pub fn dataset(&self) -> Dataset {
        self.decoded(&self.numbers())
    }

    /// The images in a random order, another one in each pass. Only the names of the files are shuffled: no image waits.
    ///
    /// ```
    /// use wgtensor::data::ImageFolder;
    ///
    /// # let folder = std::env::temp_dir().join(format!("wgtensor-shuffled-{}", std::process::id()));
    /// for class in ["cats", "dogs"] {
    ///     std::fs::create_dir_all(folder.join(class)).unwrap();
    ///     image::RgbImage::new(8, 6).save(folder.join(class).join("1.png")).unwrap();
    /// }
    /// let images = ImageFolder::open(&folder)?;
    /// assert_eq!(images.shuffled(7).batch(2).len(), Some(1));
    /// # std::fs::remove_dir_all(&folder).ok();
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub fn shuffled(&self, seed: u64) -> Dataset {
        self.decoded(&self.numbers().shuffle(self.files.len(), seed))
    }

    /// The numbers of the files.
    fn numbers(&self) -> Dataset {
        let count = self.files.len() as i32;
        let numbers = Dataset::from_generator(move || (0..count).map(Ok));
        numbers.assert_cardinality(self.files.len())
    }

    fn decoded(&self, numbers: &Dataset) -> Dataset {
        let this = self.clone();
        numbers.map_parallel(threads(), move |number| {
            let number = number.x()[0].to_vec::<i32>()?[0];
            let (path, class) = &this.files[number as usize];
            Item::new(this.decode(path)?)?.with_y(*class)
        })
    }

    fn decode(&self, path: &Path) -> Result<Array> {
        if self.height == 0 || self.width == 0 {
            let size = format!("({}, {})", self.height, self.width);
            return Err(Error::setting("`ImageFolder`", "image_size", size, "positive integers"));
        }
        // The decoder refuses images that take more than half a gigabyte.
        let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
        let decoded = reader.map_err(|why| failed("read", path, &why))?.decode();
        let image =
            decoded.map_err(|why| damaged("a PNG or JPEG image", format!("{}: {why}", path.display()), "an image"))?;
        let (pixels, channels) = match self.color_mode {
            ColorMode::Grayscale => (luma(&image), 1),
            ColorMode::Rgb => (image.to_rgb8().into_raw(), 3),
            ColorMode::Rgba => (image.to_rgba8().into_raw(), 4),
        };
        let resized = resize(&pixels, &image, channels, self.height, self.width);
        Array::from_slice(&resized, [self.height, self.width, channels])
    }
}

/// The brightness of each pixel by ITU-R BT.601, rounded as Pillow does, which Keras reads with.
fn luma(image: &DynamicImage) -> Vec<u8> {
    if !image.color().has_color() {
        return image.to_luma8().into_raw();
    }
    let weigh = |p: &image::Rgb<u8>| {
        let [r, g, b] = p.0.map(u32::from);
        ((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16) as u8
    };
    image.to_rgb8().pixels().map(weigh).collect()
}

/// What is in a folder, sorted by name.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let read = std::fs::read_dir(directory).and_then(|all| all.map(|entry| Ok(entry?.path())).collect());
    let mut all: Vec<PathBuf> = read.map_err(|why| failed("read", directory, &why))?;
    all.sort();
    Ok(all)
}

/// Gives `found` all images in a folder and those in it.
fn images(directory: &Path, found: &mut impl FnMut(PathBuf)) -> Result<()> {
    for path in entries(directory)? {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        if path.is_dir() && !path.is_symlink() {
            images(&path, found)?;
        } else if matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg")) {
            found(path);
        }
    }
    Ok(())
}

/// Bilinear interpolation between the centres of pixels, as Keras resizes.
fn resize(pixels: &[u8], image: &DynamicImage, channels: usize, height: usize, width: usize) -> Vec<f32> {
    let (from_height, from_width) = (image.height() as usize, image.width() as usize);
    // The two neighbours of each new row or column, and how far it is from the first to the second.
    let neighbours = |from: usize, to: usize| -> Vec<(usize, usize, f32)> {
        let scale = from as f32 / to as f32;
        let neighbour = |i: usize| {
            let at = ((i as f32 + 0.5) * scale - 0.5).max(0.0);
            let low = (at as usize).min(from - 1);
            (low, (low + 1).min(from - 1), at - low as f32)
        };
        (0..to).map(neighbour).collect()
    };
    let (rows, columns) = (neighbours(from_height, height), neighbours(from_width, width));
    let mut resized = Vec::with_capacity(height * width * channels);
    for &(top, bottom, down) in &rows {
        for &(left, right, across) in &columns {
            for channel in 0..channels {
                let pixel =
                    |row: usize, column: usize| f32::from(pixels[(row * from_width + column) * channels + channel]);
                let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
                let (above, below) = (
                    mix(pixel(top, left), pixel(top, right), across),
                    mix(pixel(bottom, left), pixel(bottom, right), across),
                );
                resized.push(mix(above, below, down));
            }
        }
    }
    resized
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("wgtensor-images-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Temporary(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    fn save(path: &Path, pixels: &[[u8; 3]], width: u32) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let height = pixels.len() as u32 / width;
        image::RgbImage::from_raw(width, height, pixels.concat()).unwrap().save(path).unwrap();
    }

    #[test]
    fn folders_are_classes() {
        let folder = Temporary::new("classes");
        let (red, blue) = ([255, 0, 0], [0, 0, 255]);
        save(&folder.0.join("b/one.png"), &[red; 4], 2);
        save(&folder.0.join("a/deep/two.png"), &[red, blue], 2);
        save(&folder.0.join("a/one.jpg"), &[blue; 64], 8);
        std::fs::write(folder.0.join("a/notes.txt"), "no image").unwrap();
        std::fs::write(folder.0.join("stray.png"), "in no class").unwrap();
        let images = ImageFolder::open(&folder.0).unwrap().image_size(2, 4);
        assert_eq!((images.class_names(), images.files().len()), (&["a".to_owned(), "b".to_owned()][..], 3));
        let dataset = images.dataset();
        assert_eq!(dataset.len(), Some(3));
        let items: Vec<Item> = dataset.into_iter().map(Result::unwrap).collect();
        let two = items[0].x()[0].to_vec::<f32>().unwrap();
        assert_eq!((items[0].x()[0].dims(), items[0].y()[0].to_f64_vec()), (&[2, 4, 3][..], vec![0.0]));
        // From the first pixel to the second in quarters.
        assert_eq!(two[..12], [255.0, 0.0, 0.0, 191.25, 0.0, 63.75, 63.75, 0.0, 191.25, 0.0, 0.0, 255.0]);
        assert_eq!((items[2].y()[0].to_f64_vec(), items[2].x()[0].to_f64_vec()[0]), (vec![1.0], 255.0));
        let gray = images.clone().color_mode(ColorMode::Grayscale).image_size(1, 1).dataset();
        assert_eq!(gray.into_iter().next().unwrap().unwrap().x()[0].dims(), [1, 1, 1]);
        let rgba = images.color_mode(ColorMode::Rgba).shuffled(3).batch(3).prefetch(1);
        assert_eq!(rgba.into_iter().next().unwrap().unwrap().x()[0].dims(), [3, 2, 4, 4]);
    }

    #[test]
    fn what_is_no_image_is_named() {
        let folder = Temporary::new("damaged");
        assert!(ImageFolder::open(&folder.0).unwrap_err().to_string().contains("No images found"));
        assert!(ImageFolder::open(folder.0.join("nowhere")).unwrap_err().is_io());
        let path = folder.0.join("a/cut.png");
        save(&path, &[[7, 8, 9]; 16], 4);
        let bytes = std::fs::read(&path).unwrap();
        for cut in 0..bytes.len() - 12 {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let error = ImageFolder::open(&folder.0).unwrap().dataset().into_iter().next().unwrap().unwrap_err();
            assert!(error.to_string().contains("cut.png"), "{error}");
        }
        std::fs::write(&path, &bytes).unwrap();
        let none = ImageFolder::open(&folder.0).unwrap().image_size(0, 4);
        assert!(none.dataset().into_iter().next().unwrap().unwrap_err().is_invalid_argument());
    }
}
