//! Arguments as callers have them: sizes of either sign, host data as it comes, tensors borrowed or not.

use wgtensor::{DType, Tensor, grad};

use super::devices::for_each_device;

#[test]
fn sizes_and_positions_of_either_sign() {
    for_each_device(|device| {
        let x = Tensor::arange(0.0, 12.0, 1.0, DType::I32, device)?.reshape([3, 4])?;
        let (rows, columns) = (x.dims()[0], x.dims()[1]);
        // `usize`, as `dims` gives it.
        assert_eq!(x.slice(0, 0..rows)?.dims(), [3, 4]);
        assert_eq!(x.slice(1usize, 1..=columns - 1)?.dims(), [3, 3]);
        assert_eq!(x.slice(1, columns - 1..)?.to_vec::<i32>()?, [3, 7, 11]);
        assert_eq!(x.slice(1, ..=0)?.to_vec::<i32>()?, [0, 4, 8]);
        assert_eq!(x.take(rows - 1, 0)?.to_vec::<i32>()?, [8, 9, 10, 11]);
        assert_eq!(x.narrow(x.rank() - 1, columns - 2, 2)?.dims(), [3, 2]);
        assert_eq!(x.reshape([columns, rows])?.dims(), [4, 3]);
        assert_eq!(x.reshape(vec![rows * columns])?.dims(), [12]);
        assert_eq!(x.sum(x.rank() - 1)?.to_vec::<i32>()?, [6, 22, 38]);
        assert_eq!(x.sum([0usize, 1])?.item::<i32>()?, 66);
        // Signed, of any width.
        assert_eq!(x.slice(-1, -3..)?.dims(), [3, 3]);
        assert_eq!(x.slice(-1, -3..=-1)?.dims(), [3, 3]);
        assert_eq!(x.slice(-1, ..=-2)?.dims(), [3, 3]);
        assert_eq!(x.narrow(-1, -1, 1)?.to_vec::<i32>()?, [3, 7, 11]);
        assert_eq!(x.reshape([-1, 2])?.dims(), [6, 2]);
        assert_eq!(x.reshape(-1)?.dims(), [12]);
        assert_eq!(x.reshape([2i64, -1, 2])?.dims(), [2, 3, 2]);
        assert_eq!(x.sum(-1i64)?.dims(), [3]);
        assert_eq!(x.take(-1i32, 0u32)?.to_vec::<i32>()?, [8, 9, 10, 11]);
        assert_eq!(Tensor::zeros([2, 0, 3], DType::F32, device)?.reshape([-1, 3])?.dims(), [0, 3]);
        Ok(())
    });
}

#[test]
fn axes_of_one_mould() {
    for_each_device(|device| {
        let x = Tensor::arange(0.0, 6.0, 1.0, DType::I32, device)?.reshape([1, 2, 3])?;
        assert_eq!(x.transpose([2, 0, 1])?.dims(), [3, 1, 2]);
        assert_eq!(x.transpose(vec![-1isize, 1, 0])?.dims(), [3, 2, 1]);
        assert_eq!(x.transpose(())?.dims(), [3, 2, 1]);
        assert_eq!(x.flip(1)?.to_vec::<i32>()?, [3, 4, 5, 0, 1, 2]);
        assert_eq!(x.flip([1, -1])?.to_vec::<i32>()?, [5, 4, 3, 2, 1, 0]);
        assert_eq!(x.flip(())?.to_vec::<i32>()?, [5, 4, 3, 2, 1, 0]);
        assert_eq!(x.expand_dims([0, -1])?.dims(), [1, 1, 2, 3, 1]);
        assert_eq!(x.expand_dims([0, -1])?.squeeze([0, 4])?.dims(), [1, 2, 3]);
        assert_eq!(x.expand_dims(1usize)?.squeeze(())?.dims(), [2, 3]);
        assert_eq!(x.max(&[1, 2][..])?.to_vec::<i32>()?, [5]);
        let none: [usize; 0] = [];
        assert_eq!(x.max(none)?.dims(), [1, 2, 3]);
        assert_eq!(x.flip(none)?.to_vec::<i32>()?, [0, 1, 2, 3, 4, 5]);
        Ok(())
    });
}

#[test]
fn host_data_as_it_comes() {
    for_each_device(|device| {
        let rows: Vec<Vec<f32>> = vec![vec![1.0, 2.0, 3.0], vec![4.0, 5.0, 6.0]];
        for x in [Tensor::new(&rows, device)?, Tensor::new(rows.clone(), device)?, Tensor::new(&rows[..], device)?] {
            assert_eq!((x.dims(), x.to_vec::<f32>()?), (&[2, 3][..], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        }
        let borrowed: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        assert_eq!(Tensor::new(borrowed, device)?.dims(), [2, 3]);
        assert_eq!(Tensor::new(vec![[[1i32, 2], [3, 4]]; 3], device)?.dims(), [3, 2, 2]);
        assert_eq!(Tensor::new(vec![vec![vec![true; 4]; 3]; 2], device)?.dims(), [2, 3, 4]);
        assert_eq!(Tensor::new([[[[[1.0f32; 2]; 1]; 3]; 1]; 2], device)?.dims(), [2, 1, 3, 1, 2]);
        assert_eq!(Tensor::new(Vec::<Vec<f32>>::new(), device)?.dims(), [0, 0]);
        // Narrow types stay as they are, wide whole numbers become i32.
        let bytes = Tensor::new(vec![vec![0u8, 255], vec![7, 8]], device)?;
        assert_eq!((bytes.dtype(), bytes.to_vec::<u8>()?), (DType::U8, vec![0, 255, 7, 8]));
        assert_eq!(Tensor::new([-128i8, 127], device)?.to_vec::<i8>()?, [-128, 127]);
        assert_eq!(Tensor::new(vec![1usize, 2], device)?.to_vec::<i32>()?, [1, 2]);
        assert_eq!(Tensor::new([i64::from(i32::MIN), -1], device)?.to_vec::<i32>()?, [i32::MIN, -1]);
        assert_eq!(Tensor::new([3u16, 65_535], device)?.to_vec::<i32>()?, [3, 65_535]);
        assert_eq!(Tensor::new(7usize, device)?.item::<i32>()?, 7);
        Ok(())
    });
}

#[test]
fn indices_from_the_host() {
    for_each_device(|device| {
        let x = Tensor::new([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]], device)?;
        let last = x.dims()[1] - 1;
        assert_eq!(x.take([last, 0], 1)?.to_vec::<f32>()?, [3.0, 1.0, 6.0, 4.0]);
        assert_eq!(x.take(vec![vec![-1i64], vec![0]], 1)?.dims(), [2, 2, 1]);
        assert_eq!(x.take(&Tensor::new([1u8], device)?, 0)?.to_vec::<f32>()?, [4.0, 5.0, 6.0]);
        // A number drops the axis, as in NumPy, and an array of one number does not.
        assert_eq!(x.take(1, 1)?.to_vec::<f32>()?, [2.0, 5.0]);
        assert_eq!(x.take(-2, 1)?.dims(), [2]);
        assert_eq!(x.take([1], 1)?.dims(), [2, 1]);
        assert_eq!(x.take_along_axis([[0], [2]], 1)?.to_vec::<f32>()?, [1.0, 6.0]);
        assert_eq!(x.index_add(0, [1usize], &x.narrow(0, 0, 1)?)?.to_vec::<f32>()?, [1.0, 2.0, 3.0, 5.0, 7.0, 9.0]);
        Ok(())
    });
}

#[test]
fn operators() {
    for_each_device(|device| {
        let x = Tensor::new([5, -7, 8], device)?;
        let (mask, other) = (Tensor::new([true, true, false], device)?, Tensor::new([true, false, false], device)?);
        assert_eq!((&x % 3).to_vec::<i32>()?, x.rem(3)?.to_vec::<i32>()?);
        assert_eq!((17 % x.abs()?).to_vec::<i32>()?, [2, 3, 1]);
        assert_eq!((&x & 4).to_vec::<i32>()?, [4, 0, 0]);
        assert_eq!((&x | 1 ^ &x).to_vec::<i32>()?, x.bitwise_or(x.bitwise_xor(1)?)?.to_vec::<i32>()?);
        assert_eq!((!&x).to_vec::<i32>()?, [!5, 6, !8]);
        assert_eq!((&mask & &other).to_vec::<bool>()?, [true, false, false]);
        assert_eq!((&mask | &other).to_vec::<bool>()?, [true, true, false]);
        assert_eq!((&mask ^ &other).to_vec::<bool>()?, [false, true, false]);
        assert_eq!((!(&mask & true)).to_vec::<bool>()?, [false, false, true]);
        assert_eq!((!Tensor::new([0u8, 3], device)?).to_vec::<u8>()?, [255, 252]);
        let mut y = Tensor::new([1.0f32, 2.0], device)?;
        let before = y.clone();
        y += 1.0;
        y *= &before;
        y -= before.clone();
        y /= 2;
        assert_eq!(y.to_vec::<f32>()?, [0.5, 2.0]);
        y %= 2;
        assert_eq!((y.to_vec::<f32>()?, before.to_vec::<f32>()?), (vec![0.5, 0.0], vec![1.0, 2.0]));
        let mut flags = mask.clone();
        flags &= &other;
        flags |= !mask;
        flags ^= true;
        assert_eq!(flags.to_vec::<bool>()?, [false, true, false]);
        // Gradients flow through an assignment.
        let w = Tensor::new([3.0f32], device)?.requires_grad();
        let mut total = w.square()?;
        total += &w * 2.0;
        assert_eq!(grad(&total.sum(())?, [&w])?[0].item::<f32>()?, 8.0);
        Ok(())
    });
}

#[test]
fn lists_of_tensors() {
    for_each_device(|device| {
        let (a, b) = (Tensor::new([1.0f32, 2.0], device)?, Tensor::new([3.0f32, 4.0], device)?);
        let want = [1.0, 2.0, 3.0, 4.0];
        let (list, borrowed) = (vec![a.clone(), b.clone()], vec![&a, &b]);
        let joined = [
            Tensor::concat([&a, &b], 0)?,
            Tensor::concat(&[&a, &b], 0)?,
            Tensor::concat(&list, 0)?,
            Tensor::concat(&list[..], 0)?,
            Tensor::concat(&borrowed, 0)?,
            Tensor::concat(borrowed, 0)?,
            Tensor::concat(list.iter().map(|t| t.mul(1.0)).collect::<wgtensor::Result<Vec<_>>>()?, 0usize)?,
            Tensor::stack(list, 0)?.reshape(-1)?,
        ];
        for t in joined {
            assert_eq!(t.to_vec::<f32>()?, want);
        }
        let (a, b) = (a.requires_grad(), b.requires_grad());
        let both = vec![a.clone(), b.clone()];
        assert_eq!(grad(&a.mul(&b)?.sum(())?, &both)?[0].to_vec::<f32>()?, [3.0, 4.0]);
        Ok(())
    });
}
