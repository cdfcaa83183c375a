//! What layers with a kernel have in common: a bias, an activation, and how they start.

use super::{BuildCtx, built};
use crate::error::Result;
use crate::nn::activations::Activation;
use crate::nn::initializers::Initializer;
use crate::{Tensor, Var};

/// The weights of a layer with a kernel.
pub(super) struct Affine {
    /// The layer's name.
    pub(super) layer: String,
    /// The last dimension of its inputs.
    pub(super) inputs: usize,
    pub(super) kernel: Var,
    bias: Option<Var>,
}

impl Affine {
    /// A kernel of this shape for inputs of this many features; the bias has the kernel's last dimension.
    pub(super) fn new(
        ctx: &mut BuildCtx<'_>,
        inputs: usize,
        kernel: &[usize],
        (use_bias, kernel_initializer, bias_initializer): (bool, &Initializer, &Initializer),
    ) -> Result<Self> {
        let outputs = kernel.last().copied().unwrap_or(1);
        let kernel = ctx.weight("kernel", kernel, kernel_initializer)?;
        let bias = use_bias.then(|| ctx.weight("bias", &[outputs], bias_initializer)).transpose()?;
        Ok(Affine { layer: ctx.name().to_owned(), inputs, kernel, bias })
    }

    /// `activation(y + bias)`
    pub(super) fn finish(&self, y: Tensor, activation: Activation) -> Result<Tensor> {
        let y = match &self.bias {
            Some(bias) => y.add(bias.value())?,
            None => y,
        };
        activation.apply(&y)
    }

    /// The kernel, then the bias.
    pub(super) fn weights(affine: &Option<Self>) -> Vec<Var> {
        affine.iter().flat_map(|a| std::iter::once(&a.kernel).chain(&a.bias).cloned()).collect()
    }

    /// That of a layer that was built.
    pub(super) fn of(affine: &Option<Self>) -> Result<&Self> {
        built(affine)
    }
}

/// A layer with a kernel, declared: its own settings, to which those of the bias, the activation and the start are added,
/// and its weights as the state `affine`.
macro_rules! affine {
    (
        $(#[$meta:meta])*
        pub struct $name:ident ( $($needed:tt)* ) { $($settings:tt)* }
        $(fixed { $($fixed:tt)* })?
        $(check $check:ident)?
    ) => {
        $crate::nn::config::declare! {
            $(#[$meta])*
            pub struct $name ( $($needed)* ) {
                $($settings)*
                /// The function applied at the end: an [`Activation`] or its name.
                activation: $crate::nn::activations::Activation = Activation::Linear,
                /// Whether to add a bias.
                use_bias: bool = true,
                /// How the kernel starts: an [`Initializer`] or its name.
                kernel_initializer: $crate::nn::initializers::Initializer = Initializer::GLOROT_UNIFORM,
                /// How the bias starts: an [`Initializer`] or its name.
                bias_initializer: $crate::nn::initializers::Initializer = Initializer::Zeros,
            }
            $(fixed { $($fixed)* })?
            state { affine: Option<$crate::nn::layers::affine::Affine> }
            $(check $check)?
        }

        impl $name {
            /// Makes the weights, with a kernel of this shape for inputs of this many features.
            fn build_affine(&mut self, ctx: &mut BuildCtx<'_>, inputs: usize, kernel: &[usize]) -> Result<()> {
                let how = (self.use_bias, &self.kernel_initializer, &self.bias_initializer);
                self.affine = Some(Affine::new(ctx, inputs, kernel, how)?);
                Ok(())
            }
        }
    };
}
pub(super) use affine;
