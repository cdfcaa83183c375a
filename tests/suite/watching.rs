//! Callbacks that look into a training, on every device.

use wgtensor::nn::callbacks::Callback;
use wgtensor::nn::prelude::*;
use wgtensor::nn::{Logs, Position};
use wgtensor::{Device, Result, Tensor};

use super::devices::for_each_device;

fn data(device: &Device) -> Result<(Tensor, Tensor)> {
    let x = Tensor::uniform([24, 3], -1.0, 1.0, 1, device)?;
    let y = x.mul(2.0)?.sum(1)?.expand_dims(-1)?;
    Ok((x, y))
}

/// A model whose weights start alike, with an optimizer that keeps averages.
fn averaged() -> Result<Sequential> {
    let dense = |units: usize| Dense::new(units).kernel_initializer(Initializer::Constant(0.1));
    let mut model = Sequential::named("m").add(Input::new([3])).add(dense(4)).add(dense(1));
    model.compile(SGD::new(0.05).momentum(0.9).use_ema(true).ema_momentum(0.5), "mse", ())?;
    Ok(model)
}

fn numbers(model: &Model) -> Result<Vec<f32>> {
    Ok(model.get_weights()?.iter().map(Tensor::to_vec::<f32>).collect::<Result<Vec<_>>>()?.concat())
}

/// Copies of the weights at the end of each epoch.
#[derive(Default)]
struct Copies(Vec<Vec<f32>>);

impl Callback for Copies {
    fn on_epoch_end(&mut self, _: usize, _: &mut Logs, model: &mut Model) -> Result<()> {
        self.0.push(numbers(model)?);
        Ok(())
    }
}

#[test]
fn averages_are_evaluated_and_weights_are_trained() {
    for_each_device(|device| {
        let (x, y) = data(device)?;
        let how = || Fit::new().epochs(3).batch_size(8).seed(1).verbose(0).validation_data(&x, &y);
        let (mut plain, mut raw) = (averaged()?, Copies::default());
        let expected = plain.fit(&x, &y, how().callbacks(&mut raw))?;

        let (mut swapped, mut copies) = (averaged()?, Copies::default());
        let history = swapped.fit(&x, &y, how().callbacks((SwapEMAWeights::new(), &mut copies)))?;
        // Training goes its way; the validation is another's.
        assert_eq!((&history["loss"], &copies.0), (&expected["loss"], &raw.0));
        assert!((0..3).all(|epoch| history["val_loss"][epoch] != expected["val_loss"][epoch]), "{history:?}");
        // At the end the averages are the weights, of which the last validation was.
        assert_eq!(numbers(&swapped)?, numbers(&plain)?);
        let last = swapped.evaluate(&x, &y, Evaluate::new().batch_size(8).verbose(0))?["loss"];
        assert_eq!(last, history["val_loss"][2]);

        // Between epochs too, and whatever ends the training.
        let (mut between, mut copies) = (averaged()?, Copies::default());
        let stop = LambdaCallback::new(|epoch, _: &mut Logs, model: &mut Model| {
            model.stop_training = epoch == 2;
            Ok(())
        });
        let swap = SwapEMAWeights::new().swap_on_epoch(true);
        between.fit(&x, &y, how().epochs(9).callbacks((swap, &mut copies, stop)))?;
        assert_eq!((&copies.0[2], numbers(&between)?), (&numbers(&plain)?, numbers(&plain)?));
        assert_ne!(copies.0[0], raw.0[0]);
        Ok(())
    });
}

#[test]
fn averages_are_swapped_around_evaluations_and_predictions_of_their_own() {
    for_each_device(|device| {
        let (x, y) = data(device)?;
        let mut model = averaged()?;
        model.train_on_batch(&x, &y, None)?;
        model.train_on_batch(&x, &y, None)?;
        let (weights, quiet) = (numbers(&model)?, || Evaluate::new().verbose(0));
        let plain = model.evaluate(&x, &y, quiet())?["loss"];
        let mut swap = SwapEMAWeights::new();
        assert_ne!(model.evaluate(&x, &y, quiet().callbacks(&mut swap))?["loss"], plain);
        let outputs = model.predict(&x, Predict::new().verbose(0).callbacks(&mut swap))?;
        assert_ne!(outputs.to_vec::<f32>()?, model.predict(&x, Predict::new().verbose(0))?.to_vec::<f32>()?);
        assert_eq!((numbers(&model)?, model.evaluate(&x, &y, quiet())?["loss"]), (weights, plain));

        model.compile("sgd", "mse", ())?;
        let error = model.fit(&x, &y, Fit::new().verbose(0).validation_split(0.5).callbacks(&mut swap)).unwrap_err();
        assert!(error.is_invalid_state() && error.to_string().contains("`use_ema=True`"), "{error}");
        Ok(())
    });
}

/// Writes down which hooks are called.
#[derive(Default)]
struct Heard(Vec<String>, Option<usize>);

macro_rules! heard {
    ($($hook:ident($($arg:ident: $ty:ty),*);)*) => {
        impl Callback for Heard {
            fn set_params(&mut self, params: wgtensor::nn::Params) -> Result<()> {
                self.0.push(format!("{} epochs of {} steps", params.epochs, params.steps));
                Ok(())
            }
            fn on_train_begin(&mut self, model: &mut Model) -> Result<()> {
                model.position = self.1.map(|epoch| Position { epoch, batch: 0, seed: 0 });
                Ok(())
            }
            $(fn $hook(&mut self, $($arg: $ty,)* _: &mut Model) -> Result<()> {
                self.0.push([stringify!($hook).to_owned(), $($arg.to_string()),*].join(" "));
                Ok(())
            })*
        }
    };
}
heard! {
    on_epoch_begin(epoch: usize);
    on_train_batch_begin(batch: usize);
    on_train_batch_end(batch: usize);
    on_test_begin();
    on_test_batch_begin(batch: usize);
    on_test_batch_end(batch: usize);
    on_predict_begin();
    on_predict_batch_begin(batch: usize);
    on_predict_batch_end(batch: usize);
    on_predict_end();
    on_train_end();
}

#[test]
fn hooks_are_called_in_keras_s_order() {
    for_each_device(|device| {
        let (x, y) = data(device)?;
        let mut model = averaged()?;
        let mut heard = Heard(Vec::new(), Some(1));
        let how = Fit::new().epochs(2).batch_size(8).verbose(0).validation_split(0.5).callbacks(&mut heard);
        assert_eq!(model.fit(&x, &y, how)?.epoch, [1]);
        let batch = |kind: &str, i: usize| [format!("on_{kind}_batch_begin {i}"), format!("on_{kind}_batch_end {i}")];
        let test = || [vec!["on_test_begin".to_owned()], batch("test", 0).into(), batch("test", 1).into()].concat();
        let expected = [
            vec!["2 epochs of 2 steps".to_owned(), "on_epoch_begin 1".into()],
            batch("train", 0).into(),
            batch("train", 1).into(),
            test(),
            vec!["on_train_end".into()],
        ];
        assert_eq!(heard.0, expected.concat());

        // The next `fit` starts where it is told.
        assert_eq!(model.fit(&x, &y, Fit::new().verbose(0))?.epoch, [0]);
        let mut heard = Heard::default();
        model.evaluate(&x, &y, Evaluate::new().batch_size(12).verbose(0).callbacks(&mut heard))?;
        assert_eq!(heard.0, test());
        let mut heard = Heard::default();
        model.predict(&x, Predict::new().verbose(0).callbacks(&mut heard))?;
        let expected = [vec!["on_predict_begin".to_owned()], batch("predict", 0).into(), vec!["on_predict_end".into()]];
        assert_eq!(heard.0, expected.concat());
        Ok(())
    });
}
