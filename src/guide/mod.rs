//! The guide: what the crate does and how it is meant to be used, page by page. Every snippet is run by the tests.
//!
//! 1. [Tensors](tensors): making them, shapes, types, parts, reading back, errors
//! 2. [Laziness](laziness): when work happens, what fusion is, what surprises
//! 3. [Devices and memory](devices): choosing, limits, several devices, threads, loss
//! 4. [Training](training): `compile` and `fit`, validation, callbacks, mixed precision, freezing
//! 5. [Loops of your own](custom_loops): gradients, optimizers, when to flush, when to detach
//! 6. [Data](data_sets): tables, arrays, images, data larger than memory
//! 7. [Files](files): models, weights, checkpoints, exchange with Keras
//! 8. [Layers of your own](own_layers), losses, metrics and optimizers too
//! 9. [Kernels of your own](own_kernels)
//! 10. [Performance](performance): what to look at, and what pays
//! 11. [A driver that misbehaves](misbehaving_drivers)
//!
//! Coming from elsewhere, a table each: [Keras](from_keras), [PyTorch](from_pytorch), [candle](from_candle), [Burn](from_burn).
//!
//! [Contributing](contributing): the crate from inside.
// What a feature brings has no page to link to where the feature is off.
#![cfg_attr(
    not(all(feature = "full", feature = "cpu", feature = "gpu")),
    allow(rustdoc::broken_intra_doc_links, reason = "the links are whole where all features are on")
)]

#[allow(unused_imports, reason = "the links of the pages")]
use crate::{nn::prelude::*, *};

macro_rules! pages {
    ($($name:ident)*) => {$(
        #[doc = include_str!(concat!(stringify!($name), ".md"))]
        // Some of each page's examples need the one feature or the other.
        #[cfg(any(not(doctest), all(feature = "full", feature = "cpu", feature = "gpu")))]
        pub mod $name {}
    )*};
}
pages! {
    tensors laziness devices training custom_loops data_sets files own_layers own_kernels performance misbehaving_drivers
    from_keras from_pytorch from_candle from_burn
}

pub mod contributing;
