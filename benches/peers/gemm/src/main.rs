//! The `gemm` crate called bare: what a product costs with nothing around it.

#[path = "../../serve.rs"]
mod serve;

use gemm::Parallelism;
use serve::{Error, Run, Work};

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 7 % 101) as f32 / 101.0 - 0.5).collect()
}

fn make(work: &Work) -> Result<Option<Run>, Error> {
    if work.kind != "product" {
        return Ok(None);
    }
    let [m, k, n] = work.sizes[..] else { return Ok(None) };
    let (a, b, mut c) = (numbers(m * k), numbers(k * n), vec![0.0f32; m * n]);
    // Steps from column to column and from row to row of a matrix stored by rows, or the other way round.
    let strides = |turned: bool, rows: usize, columns: usize| {
        if turned { (rows as isize, 1) } else { (1, columns as isize) }
    };
    let (a_cs, a_rs) = strides(work.ways.starts_with('T'), m, k);
    let (b_cs, b_rs) = strides(work.ways.ends_with('T'), k, n);
    Ok(Some(Box::new(move || {
        // SAFETY: the pointers and strides are those of the three matrices above.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                c.as_mut_ptr(),
                1,
                n as isize,
                false,
                a.as_ptr(),
                a_cs,
                a_rs,
                b.as_ptr(),
                b_cs,
                b_rs,
                0.0,
                1.0,
                false,
                false,
                false,
                Parallelism::Rayon(0),
            );
        }
        std::hint::black_box(&c);
        Ok(())
    })))
}

fn main() {
    serve::serve("gemm 0.19", make);
}
