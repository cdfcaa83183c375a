//! Figures in a file of text.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use crate::error::{Error, Kind, Result};
use crate::nn::history::Logs;
use crate::nn::model::{Callback, Model};

/// Writes the figures of each epoch to a file: `epoch,loss,...`, a missing one as `NA`.
///
/// ```
/// # use wgtensor::{DType, Device, Tensor};
/// use wgtensor::nn::prelude::*;
///
/// # let (x, y) = (Tensor::ones([8, 2], DType::F32, &Device::cpu())?, Tensor::ones([8, 1], DType::F32, &Device::cpu())?);
/// let mut model = Sequential::new().add(Dense::new(1));
/// model.compile("sgd", "mse", ())?;
/// # let path = std::env::temp_dir().join(format!("wgtensor-log-{}.csv", std::process::id()));
/// // path: say, "log.csv"
/// model.fit(&x, &y, Fit::new().epochs(2).callbacks(CSVLogger::new(&path)).verbose(0))?;
/// let lines = std::fs::read_to_string(&path).unwrap();
/// assert!(lines.starts_with("epoch,loss,val_loss\n0,") && lines.lines().count() == 3);
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct CSVLogger {
    path: PathBuf,
    separator: char,
    open: Option<(File, Vec<String>)>,
}

impl CSVLogger {
    /// Writes to this file, from the start.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        CSVLogger { path: path.into(), separator: ',', open: None }
    }

    /// What stands between two figures; a comma by default.
    pub fn separator(mut self, separator: char) -> Self {
        self.separator = separator;
        self
    }

    fn write(&mut self, epoch: usize, logs: &Logs) -> std::io::Result<()> {
        let between = self.separator.to_string();
        let (file, names) = match &mut self.open {
            Some(open) => open,
            None => {
                let mut names: Vec<String> = logs.names().into_iter().map(str::to_owned).collect();
                names.sort();
                // Validation may come in a later epoch only: Keras makes room for it.
                if !names.iter().any(|name| name.starts_with("val_")) {
                    names.extend(names.clone().iter().map(|name| format!("val_{name}")));
                }
                let mut file = File::create(&self.path)?;
                writeln!(file, "epoch{between}{}", names.join(&between))?;
                self.open.insert((file, names))
            }
        };
        let figure = |name: &String| logs.get(name).map_or("NA".to_owned(), |value| value.to_string());
        let figures: Vec<String> = names.iter().map(figure).collect();
        writeln!(file, "{epoch}{between}{}", figures.join(&between))?;
        file.flush()
    }
}

impl Callback for CSVLogger {
    fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
        self.open = None;
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, _: &mut Model) -> Result<()> {
        self.write(epoch, logs).map_err(|error| {
            Error::new(
                Kind::Io,
                format!(
                    "The training log could not be written. Received: {error} for {}. Expected: a file that can be \
                     written. Check the folder and the free space.",
                    self.path.display()
                ),
            )
        })
    }
}
