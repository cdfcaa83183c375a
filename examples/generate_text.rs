//! Learns to write, letter by letter: the next letter from the 32 before it, on the sonnets of Shakespeare (94,000 letters,
//! about half a minute on two cores).
//!
//! ```text
//! cargo run --release --example generate_text
//! cargo run --release --example generate_text -- "When I do count the clock"
//! ```

use std::error::Error;
use std::path::PathBuf;

use wgtensor::data::Array;
use wgtensor::nn::prelude::*;
use wgtensor::{Device, Tensor};

/// How many letters the model sees.
const SEES: usize = 32;
const EPOCHS: usize = 12;

/// The letters that there are, and numbers for them.
struct Letters(Vec<char>);

impl Letters {
    fn of(text: &str) -> Self {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters.dedup();
        Letters(letters)
    }

    /// The numbers of a text; letters that there are not are left out.
    fn numbers(&self, text: &str) -> Vec<i32> {
        text.chars().filter_map(|c| self.0.binary_search(&c).ok()).map(|i| i as i32).collect()
    }
}

/// A letter drawn from the model's shares: lower `temperature`s keep to the likely ones.
fn draw(model: &mut Model, before: &[i32], temperature: f64, seed: u64, device: &Device) -> wgtensor::Result<i32> {
    let x = Tensor::from_slice(before, [1, SEES], device)?;
    let shares = model.predict(&x, Predict::new().verbose(0))?;
    // The largest of the logarithms plus Gumbel noise is a letter drawn with just these shares.
    let noise = Tensor::uniform(shares.shape(), 1e-6, 1.0, seed, device)?.log()?.neg()?.log()?.neg()?;
    shares.maximum(1e-9)?.log()?.div(temperature)?.add(noise)?.argmax(-1)?.item::<i32>()
}

fn main() -> Result<(), Box<dyn Error>> {
    let begin = std::env::args().nth(1).unwrap_or_else(|| "Shall I compare thee to a summer's day?\n".into());
    wgtensor::set_random_seed(1);
    let device = Device::from_env()?;
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    let text = std::fs::read_to_string(PathBuf::from(root).join("examples/data/sonnets.txt"))?;
    let letters = Letters::of(&text);

    // Each run of letters with the one behind it.
    let numbers = letters.numbers(&text);
    let count = numbers.len() - SEES;
    let windows: Vec<i32> = numbers.windows(SEES).take(count).flatten().copied().collect();
    let x = Array::from_slice(&windows, [count, SEES])?.to_tensor(&device)?;
    let y = Array::new(&numbers[SEES..])?.to_tensor(&device)?;

    let mut model = Sequential::new()
        .add(Input::new([SEES]).dtype(wgtensor::DType::I32))
        .add(Embedding::new(letters.0.len(), 16))
        .add(Flatten::new())
        .add(Dense::new(512).activation(Relu))
        .add(Dropout::new(0.2))
        .add(Dense::new(letters.0.len()).activation(Softmax));
    model.summary();
    model.compile(Adam::new(0.002), "sparse_categorical_crossentropy", ["accuracy"])?;
    model.fit(&x, &y, Fit::new().epochs(EPOCHS).batch_size(128))?;

    println!();
    for temperature in [0.5, 0.8] {
        println!("--- temperature {temperature}");
        // What it is to go on with stands behind the last of the sonnets.
        let mut written = letters.numbers(&format!("{text}\n{begin}"));
        print!("{begin}");
        for i in 0..400 {
            let next = draw(&mut model, &written[written.len() - SEES..], temperature, i, &device)?;
            print!("{}", letters.0[next as usize]);
            written.push(next);
        }
        println!("\n");
    }
    Ok(())
}
