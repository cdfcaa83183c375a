//! Callbacks: code that runs between epochs and batches of `fit`.

use super::Model;
use crate::error::Result;
use crate::nn::history::Logs;

/// Hooks called by `fit`; each does nothing unless implemented. An error ends the training with it.
///
/// Batch hooks get no figures, since those are on the device: [`Model::running_logs`] reads them back.
pub trait Callback {
    /// Before the first epoch.
    ///
    /// # Errors
    /// Whatever should end the training.
    fn on_train_begin(&mut self, model: &mut Model) -> Result<()> {
        let _ = model;
        Ok(())
    }

    /// After the last epoch.
    ///
    /// # Errors
    /// Whatever should end the training.
    fn on_train_end(&mut self, model: &mut Model) -> Result<()> {
        let _ = model;
        Ok(())
    }

    /// Before an epoch, counted from 0.
    ///
    /// # Errors
    /// Whatever should end the training.
    fn on_epoch_begin(&mut self, epoch: usize, model: &mut Model) -> Result<()> {
        let _ = (epoch, model);
        Ok(())
    }

    /// After an epoch and its validation; figures added to `logs` go into the history.
    ///
    /// # Errors
    /// Whatever should end the training.
    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, model: &mut Model) -> Result<()> {
        let _ = (epoch, logs, model);
        Ok(())
    }

    /// Before a training step, counted from 0 in each epoch.
    ///
    /// # Errors
    /// Whatever should end the training.
    fn on_train_batch_begin(&mut self, batch: usize, model: &mut Model) -> Result<()> {
        let _ = (batch, model);
        Ok(())
    }

    /// After a training step was submitted; the device may still be at work on it.
    ///
    /// # Errors
    /// Whatever should end the training.
    fn on_train_batch_end(&mut self, batch: usize, model: &mut Model) -> Result<()> {
        let _ = (batch, model);
        Ok(())
    }

    /// Before the validation of an epoch.
    ///
    /// # Errors
    /// Whatever should end the training.
    fn on_test_begin(&mut self, model: &mut Model) -> Result<()> {
        let _ = model;
        Ok(())
    }

    /// After the validation of an epoch.
    ///
    /// # Errors
    /// Whatever should end the training.
    fn on_test_end(&mut self, model: &mut Model) -> Result<()> {
        let _ = model;
        Ok(())
    }
}

/// All hooks, passed on to what a pointer points to.
macro_rules! pointer {
    ($($pointer:ty),*) => {$(
        impl<C: Callback + ?Sized> Callback for $pointer {
            fn on_train_begin(&mut self, model: &mut Model) -> Result<()> {
                (**self).on_train_begin(model)
            }
            fn on_train_end(&mut self, model: &mut Model) -> Result<()> {
                (**self).on_train_end(model)
            }
            fn on_epoch_begin(&mut self, epoch: usize, model: &mut Model) -> Result<()> {
                (**self).on_epoch_begin(epoch, model)
            }
            fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, model: &mut Model) -> Result<()> {
                (**self).on_epoch_end(epoch, logs, model)
            }
            fn on_train_batch_begin(&mut self, batch: usize, model: &mut Model) -> Result<()> {
                (**self).on_train_batch_begin(batch, model)
            }
            fn on_train_batch_end(&mut self, batch: usize, model: &mut Model) -> Result<()> {
                (**self).on_train_batch_end(batch, model)
            }
            fn on_test_begin(&mut self, model: &mut Model) -> Result<()> {
                (**self).on_test_begin(model)
            }
            fn on_test_end(&mut self, model: &mut Model) -> Result<()> {
                (**self).on_test_end(model)
            }
        }
    )*};
}
pointer!(&mut C, Box<C>);

/// What can be given to `fit` as its callbacks: one, an array or a vector of one kind, a tuple of any kinds (and of such
/// lists), or `()` for none. Give `&mut callback` to look at it afterwards.
///
/// ```
/// use wgtensor::nn::callbacks::Callback;
/// use wgtensor::nn::prelude::*;
///
/// let mut stop = EarlyStopping::new().monitor("loss").patience(2);
/// let chosen: Vec<Box<dyn Callback>> = vec![Box::new(TerminateOnNaN)];
/// let how = Fit::new().epochs(5).callbacks((&mut stop, TerminateOnNaN, chosen));
/// # drop(how);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no callback and no list of callbacks",
    note = "callbacks of several kinds go into a tuple: `(EarlyStopping::new(), TerminateOnNaN)`"
)]
pub trait IntoCallbacks<'a> {
    /// The callbacks, in order.
    fn into_callbacks(self) -> Vec<Box<dyn Callback + 'a>>;
}

impl<'a, C: Callback + 'a> IntoCallbacks<'a> for C {
    fn into_callbacks(self) -> Vec<Box<dyn Callback + 'a>> {
        vec![Box::new(self)]
    }
}

impl<'a, C: Callback + 'a> IntoCallbacks<'a> for Vec<C> {
    fn into_callbacks(self) -> Vec<Box<dyn Callback + 'a>> {
        self.into_iter().map(|callback| Box::new(callback) as Box<dyn Callback + 'a>).collect()
    }
}

impl<'a, C: Callback + 'a, const N: usize> IntoCallbacks<'a> for [C; N] {
    fn into_callbacks(self) -> Vec<Box<dyn Callback + 'a>> {
        Vec::from(self).into_callbacks()
    }
}

impl<'a> IntoCallbacks<'a> for () {
    fn into_callbacks(self) -> Vec<Box<dyn Callback + 'a>> {
        Vec::new()
    }
}

macro_rules! tuples {
    ($($($c:ident)*;)*) => {$(
        #[expect(non_snake_case, reason = "each variable has the name of its type")]
        impl<'a, $($c: IntoCallbacks<'a>),*> IntoCallbacks<'a> for ($($c,)*) {
            fn into_callbacks(self) -> Vec<Box<dyn Callback + 'a>> {
                let ($($c,)*) = self;
                [$($c.into_callbacks()),*].into_iter().flatten().collect()
            }
        }
    )*};
}

tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
}
