//! Models as layers of models.

use super::config;
use super::entry::{Entry, Masked};
use super::graph::{Graph, Value, output};
use crate::error::Result;
use crate::nn::config::Config;
use crate::nn::layers::{BuildCtx, CallCtx, Layer, WeightGroup};
use crate::shape::Shape;
use crate::{Tensor, Var};

/// A model as a layer of another: the same layers, the same weights.
pub(super) struct Nested(pub(super) Graph);

impl Layer for Nested {
    fn class_name(&self) -> &'static str {
        self.0.class
    }

    fn config(&self) -> Result<Config> {
        config::write(&self.0, "")
    }

    fn inputs(&self) -> std::ops::RangeInclusive<usize> {
        self.0.inputs.len()..=self.0.inputs.len()
    }

    fn keeps_integers(&self) -> bool {
        true
    }

    fn takes_indices(&self, input: usize) -> bool {
        self.0.takes_indices(input)
    }

    fn build_all(&mut self, inputs: &[Shape], ctx: &mut BuildCtx<'_>) -> Result<()> {
        self.0.fit_shapes(inputs)?;
        self.0.build_on(&ctx.device().clone(), &ctx.seeds()).map(|_| ())
    }

    fn call(&self, x: &Tensor, ctx: &CallCtx) -> Result<Tensor> {
        Ok(self.call_all(std::slice::from_ref(x), ctx)?.swap_remove(0))
    }

    fn call_all(&self, inputs: &[Tensor], ctx: &CallCtx) -> Result<Vec<Tensor>> {
        let masks = ctx.masks().iter().cloned().chain(std::iter::repeat(None));
        let outputs =
            self.0.run(inputs.iter().cloned().zip(masks).collect(), &ctx.enter(ctx.is_frozen(), Vec::new()))?;
        let set = |(i, (tensor, mask)): (usize, Masked)| {
            mask.into_iter().for_each(|mask| ctx.set_mask(i, mask));
            tensor
        };
        Ok(outputs.into_iter().enumerate().map(set).collect())
    }

    fn output_shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let mut graph = self.0.clone();
        graph.fit_shapes(inputs)?;
        let mut shapes: Vec<Vec<Shape>> = Vec::new();
        let find = |shapes: &[Vec<Shape>], value: Value, entry: &Entry| match value {
            Value::Input(i) => Ok(inputs[i]),
            Value::Output(call, index) => output(shapes, entry, call, index),
        };
        for call in &graph.calls {
            let entry = &graph.entries[call.entry];
            let given = call.inputs.iter().map(|&value| find(&shapes, value, entry)).collect::<Result<Vec<_>>>()?;
            shapes.push(entry.output_shapes(&given)?);
        }
        let Some(last) = graph.entries.last() else { return Ok(inputs.to_vec()) };
        graph.outputs.iter().map(|&value| find(&shapes, value, last)).collect()
    }

    fn output_shape(&self, input: &Shape) -> Result<Shape> {
        Ok(self.output_shapes(std::slice::from_ref(input))?.swap_remove(0))
    }

    fn weights(&self) -> Vec<Var> {
        self.0.weights()
    }

    fn weight_groups(&self, name: &str) -> Vec<WeightGroup> {
        self.0.weight_groups(name)
    }
}
