//! Data sets as a user and as an enemy: orders, batches, errors in the middle, threads that are let go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use wgtensor::data::{Array, Cardinality, Dataset, Item};
use wgtensor::{DType, Error, Result};

/// The first input of each element, as numbers.
fn numbers(dataset: &Dataset) -> Result<Vec<Vec<f64>>> {
    dataset.into_iter().map(|item| Ok(item?.x()[0].to_f64_vec())).collect()
}

fn flat(dataset: &Dataset) -> Vec<f64> {
    numbers(dataset).unwrap().concat()
}

fn count(n: usize) -> Dataset {
    Dataset::from_tensor_slices((0..n).map(|i| i as f32).collect::<Vec<_>>()).unwrap()
}

/// An error of the crate's to be given by a user.
fn refused() -> Error {
    Array::from_slice(&[1.0f32], 2).unwrap_err()
}

#[test]
fn elements_are_rows_with_their_types() {
    let rows = Dataset::from_tensor_slices(([[1u8, 2], [3, 4]], [7i64, 8], [0.5, 1.0])).unwrap();
    let items: Vec<Item> = rows.into_iter().collect::<Result<_>>().unwrap();
    assert_eq!((items.len(), rows.len(), rows.is_empty()), (2, Some(2), Some(false)));
    let last = &items[1];
    assert_eq!((last.x()[0].to_vec::<u8>().unwrap(), last.x()[0].dims()), (vec![3, 4], &[2][..]));
    assert_eq!((last.y()[0].to_vec::<i32>().unwrap(), last.y()[0].dims()), (vec![8], &[][..]));
    assert_eq!(last.sample_weight()[0].dtype(), DType::F64);
    let uneven = Dataset::from_tensor_slices(([1.0f32, 2.0], [1.0f32])).unwrap_err().to_string();
    assert!(uneven.starts_with("Data cardinality is ambiguous."), "{uneven}");
    assert!(uneven.contains("'x' sizes: 2 'y' sizes: 1") && uneven.contains("datasets.rs"), "{uneven}");
    assert!(Dataset::from_tensor_slices(1.0f32).is_err());
}

#[test]
fn batches_keep_or_drop_what_is_left() {
    let seven = count(7);
    assert_eq!(numbers(&seven.batch(3)).unwrap(), [vec![0.0, 1.0, 2.0], vec![3.0, 4.0, 5.0], vec![6.0]]);
    assert_eq!(numbers(&seven.batch_whole(3)).unwrap().len(), 2);
    assert_eq!((seven.batch(3).len(), seven.batch_whole(3).len()), (Some(3), Some(2)));
    // One larger than the data has all of it, or nothing.
    assert_eq!(numbers(&seven.batch(100)).unwrap(), [(0..7).map(f64::from).collect::<Vec<_>>()]);
    assert_eq!((numbers(&seven.batch_whole(100)).unwrap().len(), seven.batch_whole(100).is_empty()), (0, Some(true)));
    assert_eq!(flat(&count(0).batch(3).prefetch(2)), [0.0; 0]);
    // Batches of batches, and elements with rows of their own.
    let deep = seven.batch(2).take(2).batch(2).into_iter().next().unwrap().unwrap();
    assert_eq!(deep.x()[0].dims(), [2, 2]);
}

#[test]
fn orders_differ_each_time_and_repeat_with_the_seed() {
    let order = |seed, buffer| {
        let shuffled = count(50).shuffle(buffer, seed);
        [flat(&shuffled), flat(&shuffled), flat(&shuffled.repeat(2))].concat()
    };
    let all = order(7, 50);
    assert_eq!(all, order(7, 50));
    assert_ne!(all, order(8, 50));
    for (i, one) in all.chunks(50).enumerate() {
        let mut sorted = one.to_vec();
        sorted.sort_by(f64::total_cmp);
        assert_eq!(sorted, flat(&count(50)));
        assert!(all.chunks(50).skip(i + 1).all(|other| other != one), "pass {i} has the order of another");
    }
    // A buffer of 5 moves nothing forward by more than 4, one of 1 moves nothing, one larger than the data all of it.
    assert!(order(7, 5)[..50].iter().enumerate().all(|(at, &value)| value <= at as f64 + 4.0));
    assert_eq!(order(7, 1)[..50], flat(&count(50)));
    assert_ne!(order(7, usize::MAX)[..50], flat(&count(50)));
}

#[test]
fn adapters_compose_and_lengths_follow() {
    let even = count(10).filter(|item| Ok(item.x()[0].to_f64_vec()[0] % 2.0 == 0.0));
    assert_eq!((flat(&even), even.cardinality()), (vec![0.0, 2.0, 4.0, 6.0, 8.0], Cardinality::Unknown));
    let doubled = even.map(|item| {
        let twice = item.x()[0].to_f64_vec()[0] as f32 * 2.0;
        item.with_x(twice)
    });
    assert_eq!(flat(&doubled.skip(1).take(2).repeat(2)), [4.0, 8.0, 4.0, 8.0]);
    assert_eq!(flat(&count(3).skip(5)), [0.0; 0]);
    let endless = count(3).repeat(None);
    assert_eq!(endless.cardinality(), Cardinality::Infinite);
    assert_eq!(endless.batch(2).cardinality(), Cardinality::Infinite);
    assert_eq!((flat(&endless.take(7)), endless.take(7).len()), (vec![0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0], Some(7)));
    assert_eq!((count(3).repeat(4).len(), count(3).repeat(0).len()), (Some(12), Some(0)));
    assert_eq!(flat(&count(3).repeat(0)), [0.0; 0]);
    // Nothing over and over ends.
    let nothing = Dataset::from_generator(std::iter::empty::<Result<f32>>).repeat(None);
    assert_eq!(flat(&nothing), [0.0; 0]);
}

#[test]
fn an_error_comes_out_in_its_place_and_ends_the_pass() {
    let failing = Dataset::from_generator(|| (0..10).map(|i| if i == 4 { Err(refused()) } else { Ok(i as f32) }));
    let parallel = failing.map_parallel(3, Ok);
    for dataset in [failing.clone(), failing.prefetch(1), failing.prefetch(100), failing.repeat(None), parallel] {
        let results: Vec<Result<Item>> = dataset.into_iter().collect();
        assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, true, true, false]);
    }
    let batched: Vec<Result<Item>> = failing.batch(3).prefetch(2).into_iter().collect();
    assert_eq!(batched.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false]);
    assert!(batched[1].as_ref().unwrap_err().is_shape_mismatch());
    assert!(numbers(&failing.skip(6)).is_err() && numbers(&failing.shuffle(3, 1)).is_err());
    assert_eq!(flat(&failing.take(4)).len(), 4);
    let bad = count(3).map(|_| Err(refused()));
    assert!(numbers(&bad).unwrap_err().is_shape_mismatch());
    assert!(numbers(&count(3).filter(|_| Err(refused()))).is_err());
}

#[test]
fn settings_that_make_no_sense_are_errors_with_the_line_that_set_them() {
    for wrong in [count(3).batch(0), count(3).shuffle(0, 1), count(3).prefetch(0), count(3).map_parallel(0, Ok)] {
        let error = numbers(&wrong.take(1)).unwrap_err();
        assert!(error.is_invalid_argument() && error.to_string().contains("datasets.rs"), "{error}");
    }
    let uneven = Dataset::from_generator(|| [vec![1.0f32], vec![1.0, 2.0]].into_iter().map(Ok));
    let error = numbers(&uneven.batch(2)).unwrap_err();
    assert!(error.is_shape_mismatch() && error.to_string().contains("f32 (2,) beside f32 (1,)"), "{error}");
    let some = Dataset::from_generator(|| (0..2).map(|i| Item::new(1.0f32)?.with_y(vec![0; i])));
    assert!(numbers(&some.batch(2)).unwrap_err().to_string().contains("their y differ"));
    let missing = |i| if i == 0 { Item::new(1.0f32) } else { Item::new(1.0f32)?.with_y(1) };
    let some = Dataset::from_generator(move || (0..2).map(missing));
    assert!(numbers(&some.batch(2)).unwrap_err().to_string().contains("their y are not the same arrays"));
}

/// Counts the values that are alive.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Alive(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[track_caller]
fn soon(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn prefetching_works_ahead_and_stops_when_it_is_dropped() {
    let (alive, made) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (alive_there, made_there) = (alive.clone(), made.clone());
    let endless = Dataset::from_generator(move || {
        let (alive, made) = (Alive::new(&alive_there), made_there.clone());
        std::iter::from_fn(move || {
            let _ = &alive;
            Some(Ok(made.fetch_add(1, SeqCst) as f32))
        })
    });
    let mut items = endless.prefetch(3).into_iter();
    soon("three wait, and one for a place", || made.load(SeqCst) == 4);
    assert_eq!(items.next().unwrap().unwrap().x()[0].to_f64_vec(), [0.0]);
    soon("one more", || made.load(SeqCst) == 5);
    drop(items);
    soon("the thread ends", || alive.load(SeqCst) == 0);
    assert!(made.load(SeqCst) <= 6);
}

#[test]
fn threads_work_at_the_same_time_and_elements_keep_their_order() {
    let at_once = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let seen = at_once.clone();
    let squares = count(40).map_parallel(4, move |item| {
        let now = seen.0.fetch_add(1, SeqCst) + 1;
        seen.1.fetch_max(now, SeqCst);
        let x = item.x()[0].to_f64_vec()[0] as f32;
        // The later ones are done first.
        std::thread::sleep(Duration::from_millis((40 - x as u64) % 7));
        seen.0.fetch_sub(1, SeqCst);
        item.with_x(x * x)
    });
    for pass in [&squares, &squares.prefetch(2)] {
        assert_eq!(flat(pass), (0..40).map(|i| f64::from(i * i)).collect::<Vec<_>>());
    }
    assert_eq!((squares.len(), flat(&squares.take(3))), (Some(40), vec![0.0, 1.0, 4.0]));
    assert!(at_once.1.load(SeqCst) > 1, "one after the other");
    assert_eq!(flat(&count(0).map_parallel(4, Ok)), [0.0; 0]);
    assert_eq!(flat(&count(3).map_parallel(usize::MAX, Ok)), [0.0, 1.0, 2.0]);
    let panics =
        count(9).map_parallel(2, |item| if item.x()[0].to_f64_vec()[0] == 5.0 { panic!("at five") } else { Ok(item) });
    let results: Vec<Result<Item>> = panics.into_iter().collect();
    assert_eq!((results.len(), results.iter().filter(|r| r.is_ok()).count()), (6, 5));
    assert!(results[5].as_ref().unwrap_err().to_string().contains("at five"));
}

#[test]
fn a_panic_while_prefetching_is_an_error_in_its_place() {
    let panics = count(5).map(|item| {
        assert!(item.x()[0].to_f64_vec()[0] < 2.0, "no more than two");
        Ok(item)
    });
    let results: Vec<Result<Item>> = panics.prefetch(2).into_iter().collect();
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false]);
    let error = results[2].as_ref().unwrap_err().to_string();
    assert!(error.contains("panicked: no more than two"), "{error}");
}

#[test]
fn past_the_end_there_is_nothing() {
    let few = Dataset::from_generator(|| (0..5).map(|i| Ok(i as f32)));
    assert_eq!((&few.skip(usize::MAX)).into_iter().count(), 0);
    assert_eq!((&few.prefetch(usize::MAX)).into_iter().count(), 5);
    // A generator that would go on after its end.
    let restless = Dataset::from_generator(|| {
        let mut i = 0;
        std::iter::from_fn(move || {
            i += 1;
            (i % 4 != 0).then_some(Ok(i as f32))
        })
    });
    assert_eq!((&restless.batch(2)).into_iter().count(), 2);
}

#[test]
#[cfg(feature = "csv")]
fn zeros_of_both_signs_are_one_class() {
    let table = wgtensor::data::Csv::new().parse("a\n-0\n0\n1\n").unwrap();
    let (labels, classes) = table.labels("a").unwrap();
    assert_eq!((labels.to_vec::<i32>().unwrap(), classes), (vec![0, 0, 1], vec!["0".to_string(), "1".to_string()]));
    assert_eq!(table.text("a").unwrap(), ["0", "0", "1"]);
}

#[test]
#[cfg(feature = "csv")]
fn a_file_that_changes_between_passes_is_an_error() {
    let path = std::env::temp_dir().join(format!("wgtensor-changes-{}.csv", std::process::id()));
    std::fs::write(&path, "a,b,c\n1,2,3\n").unwrap();
    let rows = wgtensor::data::Csv::new().stream(&path).unwrap();
    assert_eq!((&rows).into_iter().filter(|item| item.is_ok()).count(), 1);
    std::fs::write(&path, "a\n1\n").unwrap();
    assert!((&rows).into_iter().next().unwrap().is_err());
    std::fs::remove_file(path).ok();
}

#[test]
#[cfg(feature = "image")]
fn hidden_folders_are_no_classes() {
    use wgtensor::data::{ColorMode, ImageFolder};

    let folder = std::env::temp_dir().join(format!("wgtensor-hidden-{}", std::process::id()));
    for class in [".checkpoints", "cat", "dog"] {
        std::fs::create_dir_all(folder.join(class)).unwrap();
        std::fs::copy(
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/models/red.png"),
            folder.join(class).join("a.png"),
        )
        .unwrap();
    }
    let images = ImageFolder::open(&folder).unwrap().image_size(2, 2).color_mode(ColorMode::Grayscale);
    assert_eq!(images.class_names(), ["cat", "dog"]);
    // Pillow makes 76 of pure red.
    let item = (&images.dataset()).into_iter().next().unwrap().unwrap();
    assert!(item.x()[0].to_f64_vec().iter().all(|&v| v == 76.0));
    std::fs::remove_dir_all(folder).ok();
}
