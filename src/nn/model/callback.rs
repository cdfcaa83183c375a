//! Callbacks: code that runs between epochs and batches of `fit`, `evaluate` and `predict`.

use super::Model;
use crate::error::Result;
use crate::nn::history::{Logs, Params};
use crate::nn::interrupt::Watch;

/// The trait of these hooks, each of which does nothing unless implemented, and what passes them on.
macro_rules! hooks {
    ($(#[$meta:meta])* pub trait $name:ident {
        $($(#[$doc:meta])* fn $hook:ident($($arg:ident: $ty:ty),*);)*
    }) => {
        $(#[$meta])*
        pub trait $name {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// Whatever should end the run.
            fn $hook(&mut self, $($arg: $ty),*) -> Result<()> {
                let _ = ($($arg,)*);
                Ok(())
            }
        )*}

        impl<C: $name + ?Sized> $name for &mut C {$(
            fn $hook(&mut self, $($arg: $ty),*) -> Result<()> {
                (**self).$hook($($arg),*)
            }
        )*}

        impl<C: $name + ?Sized> $name for Box<C> {$(
            fn $hook(&mut self, $($arg: $ty),*) -> Result<()> {
                (**self).$hook($($arg),*)
            }
        )*}
    };
}

hooks! {
    /// Hooks called by `fit`, `evaluate` and `predict`; each does nothing unless implemented. An error ends the run with it.
    ///
    /// Hooks of batches get no figures, since those are on the device: [`Model::running_logs`] reads them back.
    ///
    /// ```
    /// use wgtensor::nn::Logs;
    /// use wgtensor::nn::callbacks::Callback;
    /// use wgtensor::nn::prelude::*;
    /// # use wgtensor::{DType, Device, Result, Tensor};
    ///
    /// /// Ends training once the loss is low enough.
    /// struct Enough(f64);
    /// impl Callback for Enough {
    ///     fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, model: &mut Model) -> Result<()> {
    ///         model.stop_training = logs["loss"] < self.0;
    ///         logs.set("epoch_from_1", epoch as f64 + 1.0); // goes into the history
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # let (x, y) = (Tensor::ones([8, 4], DType::F32, &Device::cpu())?, Tensor::ones([8, 1], DType::F32, &Device::cpu())?);
    /// let mut model = Sequential::new().add(Dense::new(1));
    /// model.compile("sgd", "mse", ())?;
    /// let history = model.fit(&x, &y, Fit::new().epochs(500).callbacks(Enough(0.01)).verbose(0))?;
    /// assert!(history["loss"].len() < 500);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    pub trait Callback {
        /// Before `on_train_begin`: how training was asked for.
        fn set_params(params: Params);
        /// Before the first epoch. To go on with an earlier run, set [`Model::position`] here.
        fn on_train_begin(model: &mut Model);
        /// After the last epoch, and also where training was [interrupted](crate::nn::interrupt).
        fn on_train_end(model: &mut Model);
        /// Before an epoch, counted from 0.
        fn on_epoch_begin(epoch: usize, model: &mut Model);
        /// After an epoch and its validation; figures added to `logs` go into the history.
        fn on_epoch_end(epoch: usize, logs: &mut Logs, model: &mut Model);
        /// Before a training step, counted from 0 in each epoch.
        fn on_train_batch_begin(batch: usize, model: &mut Model);
        /// After a training step was submitted; the device may still be at work on it.
        fn on_train_batch_end(batch: usize, model: &mut Model);
        /// Before an evaluation: that of `evaluate`, or the validation of an epoch.
        fn on_test_begin(model: &mut Model);
        /// After an evaluation, with its figures (without `val_`).
        fn on_test_end(logs: &Logs, model: &mut Model);
        /// Before a batch of an evaluation, counted from 0.
        fn on_test_batch_begin(batch: usize, model: &mut Model);
        /// After a batch of an evaluation was submitted.
        fn on_test_batch_end(batch: usize, model: &mut Model);
        /// Before the first batch of `predict`.
        fn on_predict_begin(model: &mut Model);
        /// After the last batch of `predict`.
        fn on_predict_end(model: &mut Model);
        /// Before a batch of `predict`, counted from 0.
        fn on_predict_batch_begin(batch: usize, model: &mut Model);
        /// After a batch of `predict` was submitted.
        fn on_predict_batch_end(batch: usize, model: &mut Model);
    }
}

/// The callbacks of one run, and whether somebody asks it to end.
#[derive(Default)]
pub(super) struct Callbacks<'a> {
    all: Vec<Box<dyn Callback + 'a>>,
    watch: Option<Watch>,
}

impl<'a> Callbacks<'a> {
    pub(super) fn extend(&mut self, callbacks: impl IntoCallbacks<'a>) {
        self.all.extend(callbacks.into_callbacks());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Calls a hook of each.
    pub(super) fn each(&mut self, mut hook: impl FnMut(&mut dyn Callback) -> Result<()>) -> Result<()> {
        self.all.iter_mut().try_for_each(|callback| hook(callback.as_mut()))
    }

    /// From here on the run can be interrupted.
    pub(super) fn watch(&mut self) {
        self.watch = Some(Watch::new());
    }

    /// Whether the run was interrupted.
    pub(super) fn interrupted(&self) -> bool {
        self.watch.as_ref().is_some_and(Watch::asked)
    }
}

/// What can be given to `fit`, `evaluate` and `predict` as their callbacks: one, an array or a vector of one kind, a tuple of any kinds (and of such
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
