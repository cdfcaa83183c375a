//! Tables as people write them, and as nobody should.

use std::path::PathBuf;

use super::*;
use crate::data::Item;

fn numbers(table: &Table, column: &str) -> Vec<f32> {
    table.numbers([column]).unwrap().to_vec().unwrap()
}

/// A file for one test.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("wgtensor-csv-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Temporary(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

#[test]
fn columns_have_names_and_kinds() {
    let table = Csv::new().parse("a,b,kind\n1,-2.5,x\n 3 ,1e2,y\n").unwrap();
    assert_eq!((table.rows(), table.names()), (2, &["a", "b", "kind"].map(String::from)[..]));
    assert_eq!((numbers(&table, "a"), numbers(&table, "b")), (vec![1.0, 3.0], vec![-2.5, 100.0]));
    assert_eq!(table.numbers(["b", "a"]).unwrap().to_vec::<f32>().unwrap(), [-2.5, 1.0, 100.0, 3.0]);
    assert!(table.is_numeric("a").unwrap() && !table.is_numeric("kind").unwrap());
    assert_eq!(table.integers("a").unwrap().to_vec::<i32>().unwrap(), [1, 3]);
    assert!(table.integers("b").unwrap_err().to_string().contains("-2.5"));
    let error = table.numbers(["c"]).unwrap_err().to_string();
    assert!(error.contains("'c'") && error.contains("a, b, kind"), "{error}");
    let error = table.features().unwrap_err().to_string();
    assert!(error.contains("'kind' was to be of numbers") && error.contains("'x'"), "{error}");
    assert!(Csv::new().labels(["d"]).parse("a\n1\n").unwrap_err().is_invalid_argument());
}

#[test]
fn other_delimiters_and_no_header() {
    let table = Csv::new().delimiter(b';').has_header(false).parse("1;2\n3;4").unwrap();
    assert_eq!((table.rows(), numbers(&table, "1")), (2, vec![2.0, 4.0]));
    let named = Csv::new().delimiter(b'\t').has_header(false).names(["x", "y"]).parse("1\t2\n").unwrap();
    assert_eq!(numbers(&named, "y"), [2.0]);
    let renamed = Csv::new().names(["x", "y"]).parse("a,b\n1,2\n").unwrap();
    assert_eq!((renamed.rows(), numbers(&renamed, "x")), (1, vec![1.0]));
    assert!(Csv::new().names(["x"]).parse("a,b\n").unwrap_err().to_string().contains("1 names for 2 columns"));
}

#[test]
fn line_ends_marks_and_quotes() {
    let plain = "a,b\n1,x\n2,\"y, z\nof \"\"two\"\" lines\"\n";
    let marked = format!("\u{feff}{plain}");
    for text in [plain.to_owned(), marked, plain.replace("\n1", "\r\n1").replace("x\n", "x\r\n")] {
        let table = Csv::new().parse(&text).unwrap();
        assert_eq!((table.rows(), table.names()[0].as_str()), (2, "a"), "{text:?}");
        assert_eq!(table.text("b").unwrap(), ["x", "y, z\nof \"two\" lines"], "{text:?}");
    }
    let blank = Csv::new().parse("a\n\n1\n\n\n2\n\n").unwrap();
    assert_eq!(numbers(&blank, "a"), [1.0, 2.0]);
}

#[test]
fn small_tables() {
    let error = Csv::new().parse("").unwrap_err().to_string();
    assert!(error.contains("an empty file"), "{error}");
    assert!(Csv::new().has_header(false).parse("\n\n").is_err());
    let header = Csv::new().parse("a,b").unwrap();
    assert_eq!((header.rows(), header.numbers(["a", "b"]).unwrap().dims()), (0, &[0, 2][..]));
    let one = Csv::new().has_header(false).parse("5").unwrap();
    assert_eq!((one.rows(), numbers(&one, "0")), (1, vec![5.0]));
    assert!(Csv::new().parse("a,b,a\n").unwrap_err().to_string().contains("'a' for column 2"));
}

#[test]
fn ragged_lines_are_named() {
    for (text, says) in [
        ("a,b\n1,2\n3\n", "1 fields in line 3"),
        ("a,b\n1,\"2\n2\"\n3,4,5\n", "3 fields in line 4"),
        ("a,b\r\n1,2\r\n3,4,", "3 fields in line 3"),
        ("a,b\r\n\r\n\r\n1,2\r\n\r\n3\r\n", "1 fields in line 6"),
        ("a,b\n\n\n1,2\n\n3", "1 fields in line 6"),
        ("\n\n3,4\n5", "1 fields in line 4"),
        ("a,b\n1,2\n\"3,4\n5,6\n", "a quote in line 3 that is not closed"),
        ("a,b\r\n\"1\",2\r\n\"3\r\n\",4\r\n5\r\n", "1 fields in line 5"),
    ] {
        let error = Csv::new().parse(text).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn missing_values_are_named_or_filled() {
    let text = "a,b,c\n1,NaN,x\n2,3,\n,4,NA\n";
    let table = Csv::new().parse(text).unwrap();
    for (error, says) in [
        (table.numbers(["a"]).unwrap_err(), "Column 'a' has a missing value in line 4"),
        (table.numbers(["b"]).unwrap_err(), "Column 'b' has a missing value in line 2"),
        (table.labels("c").unwrap_err(), "Column 'c' has a missing value in line 3"),
        (table.integers("a").unwrap_err(), "Column 'a' has a missing value in line 4"),
    ] {
        assert!(error.to_string().starts_with(says), "{error}");
    }
    let filled = Csv::new().fill(-1.0).fill_text("x").parse(text).unwrap();
    assert_eq!((numbers(&filled, "a"), numbers(&filled, "b")), (vec![1.0, 2.0, -1.0], vec![-1.0, 3.0, 4.0]));
    assert_eq!(filled.labels("c").unwrap().0.to_vec::<i32>().unwrap(), [0, 0, 0]);
    let other = Csv::new().fill_text("none").parse(text).unwrap();
    assert_eq!(other.text("c").unwrap(), ["x", "none", "none"]);
    // A column that begins with missing values may be of either kind.
    let late = Csv::new().na_values(["?"]).fill(0.0).fill_text("").parse("n,t\n?,?\nNA,\n7,w\n").unwrap();
    assert_eq!(
        (numbers(&late, "n"), late.text("t").unwrap()),
        (vec![0.0, 0.0, 7.0], vec!["".into(), "".into(), "w".into()])
    );
    let nothing = Csv::new().parse("a,b\n,1\n,2\n").unwrap();
    assert!(nothing.numbers(["a"]).is_err() && nothing.numbers(["b"]).is_ok());
}

#[test]
fn numbers_that_turn_into_text_are_read_as_they_are_written() {
    let table = Csv::new().parse("id,v\n007,1\n1.0,2\nseven,3\n1.0,4\n").unwrap();
    assert_eq!(table.text("id").unwrap(), ["007", "1.0", "seven", "1.0"]);
    assert_eq!(numbers(&table, "v"), [1.0, 2.0, 3.0, 4.0]);
    let (labels, classes) = table.labels("id").unwrap();
    assert_eq!(
        (labels.to_vec::<i32>().unwrap(), classes),
        (vec![0, 1, 2, 1], ["007", "1.0", "seven"].map(String::from).into())
    );
}

#[test]
fn labels_are_sorted_or_as_given() {
    let text = "y,n\nb,10\na,9\nc,10\n";
    let table = Csv::new().parse(text).unwrap();
    assert_eq!(table.labels("y").unwrap().0.to_vec::<i32>().unwrap(), [1, 0, 2]);
    let (labels, classes) = table.labels("n").unwrap();
    assert_eq!((labels.to_vec::<i32>().unwrap(), classes), (vec![1, 0, 1], vec!["9".to_owned(), "10".to_owned()]));
    let given = Csv::new().classes("y", ["c", "b", "a", "d"]).classes("n", ["10", "9"]).parse(text).unwrap();
    assert_eq!(given.labels("y").unwrap().0.to_vec::<i32>().unwrap(), [1, 2, 0]);
    assert_eq!(given.labels("n").unwrap().0.to_vec::<i32>().unwrap(), [0, 1, 0]);
    let few = Csv::new().classes("y", ["a", "b"]).parse(text).unwrap();
    assert!(few.labels("y").unwrap_err().to_string().contains("'c'"));
}

#[test]
fn bytes_that_are_no_text() {
    let error = Csv::new().parse(b"a,b\n1,x\n2,\xff\xfe\n").unwrap_err().to_string();
    assert!(error.contains("line 3, column 'b': bytes that are not UTF-8"), "{error}");
    assert!(Csv::new().parse(b"a,\xff\n1,2\n").is_err());
    assert!(Csv::new().parse(b"a\n1\n\xff\n").unwrap_err().to_string().contains("line 3"));
    assert_eq!(Csv::new().parse("a\nä\n").unwrap().text("a").unwrap(), ["ä"]);
}

#[test]
fn a_table_is_a_data_set() {
    let text = "a,b,y\n1,2,no\n3,4,yes\n";
    let items = |how: &Csv| -> Vec<Item> {
        how.parse(text).unwrap().dataset().unwrap().into_iter().map(Result::unwrap).collect()
    };
    let labelled = items(&Csv::new().labels(["y"]));
    assert_eq!(
        (labelled[1].x()[0].to_f64_vec(), labelled[1].y()[0].to_vec::<i32>().unwrap()),
        (vec![3.0, 4.0], vec![1])
    );
    let numbers = Csv::new().labels(["b", "a"]).parse("a,b,c\n1,2,3\n").unwrap().dataset().unwrap();
    let first = numbers.into_iter().next().unwrap().unwrap();
    assert_eq!((first.x()[0].to_f64_vec(), first.y()[0].to_f64_vec()), (vec![3.0], vec![2.0, 1.0]));
    let one = Csv::new().labels(["a"]).parse("a,b\n1.5,2\n").unwrap().dataset().unwrap();
    let first = one.into_iter().next().unwrap().unwrap();
    assert_eq!((first.y()[0].dims(), first.y()[0].to_f64_vec()), (&[][..], vec![1.5]));
}

#[test]
fn a_stream_gives_what_a_table_does() {
    let text: String = (0..100).map(|i| format!("{},{},{}\n", i, i as f64 / 7.0, ["no", "yes"][i % 2])).collect();
    let file = Temporary::new("stream", format!("a,b,y\n{text}").as_bytes());
    let how = Csv::new().labels(["y"]).classes("y", ["no", "yes"]);
    let (table, stream) = (how.read(&file.0).unwrap().dataset().unwrap(), how.stream(&file.0).unwrap());
    for _ in 0..2 {
        let mut count = 0;
        for (a, b) in table.into_iter().zip(&stream.prefetch(10)) {
            let (a, b) = (a.unwrap(), b.unwrap());
            assert_eq!((a.x()[0].to_f64_vec(), a.y()[0].to_f64_vec()), (b.x()[0].to_f64_vec(), b.y()[0].to_f64_vec()));
            assert_eq!(a.y()[0].dtype(), b.y()[0].dtype());
            count += 1;
        }
        assert_eq!(count, 100);
    }
}

#[test]
fn a_stream_names_what_is_wrong_in_its_place() {
    let last = |text: &str, how: Csv| {
        let file = Temporary::new(&format!("wrong-{}", text.len()), text.as_bytes());
        let results: Vec<Result<Item>> = how.stream(&file.0).unwrap().into_iter().collect();
        assert!(results[..results.len() - 1].iter().all(Result::is_ok));
        let error = results.into_iter().last().unwrap().unwrap_err().to_string();
        assert!(error.contains("wgtensor-csv-"), "{error}");
        error
    };
    assert!(last("a,b\n1,2\n3,\n", Csv::new()).contains("Column 'b' has a missing value in line 3"));
    assert!(last("a,b\n1,2\n3,four\n5,6\n", Csv::new()).contains("'four' in line 3, column 'b'"));
    assert!(last("a,b\n1,2\n3,4\n5\n", Csv::new()).contains("1 fields in line 4"));
    let classes = Csv::new().labels(["b"]).classes("b", ["x"]);
    assert!(last("a,b\n1,x\n2,x\n3,x\n4,yy\n", classes).contains("line 5: Column 'b' names a class"));
    let file = Temporary::new("filled", b"a,b\n,x\n2,\n");
    let filled =
        Csv::new().labels(["b"]).classes("b", ["x", "none"]).fill(9.0).fill_text("none").stream(&file.0).unwrap();
    let items: Vec<Item> = filled.into_iter().map(Result::unwrap).collect();
    assert_eq!((items[0].x()[0].to_f64_vec(), items[1].y()[0].to_f64_vec()), (vec![9.0], vec![1.0]));
    let missing = std::env::temp_dir().join("wgtensor-no-such-file.csv");
    assert!(Csv::new().stream(&missing).unwrap_err().is_io() && Csv::new().read(&missing).unwrap_err().is_io());
    assert!(Csv::new().labels(["z"]).stream(&file.0).unwrap_err().to_string().contains("no column 'z'"));
}

#[test]
fn lines_longer_than_what_is_read_at_once() {
    // Lines with and without quotes across the ends of what is read, and fields larger than it.
    let long = "x".repeat(700_000);
    let mut text = String::from("n,t\n");
    for i in 0..60_000 {
        text += &match i % 7 {
            0 => format!("\"{i}\",\"a\nb\"\n"),
            1 => format!("{i},\"q\"\"{}\"\r\n", i % 3),
            _ => format!("{i}.5,plain\r\n"),
        };
    }
    text += &format!("-1,{long}\n-2,\"{long}\n\"\n-3");
    let error = Csv::new().parse(&text).unwrap_err().to_string();
    let lines = text.matches('\n').count() + 1;
    assert!(error.contains(&format!("1 fields in line {lines}")), "{error}");
    let table = Csv::new().parse(text.strip_suffix("-3").unwrap()).unwrap();
    let numbers = numbers(&table, "n");
    assert_eq!((table.rows(), numbers[60_000], numbers[60_001]), (60_002, -1.0, -2.0));
    let half = |i: usize| if i % 7 < 2 { 0.0 } else { 0.5 };
    assert!(numbers[..60_000].iter().enumerate().all(|(i, n)| *n == i as f32 + half(i)));
    let words = table.text("t").unwrap();
    assert_eq!((&words[7][..], &words[8][..], &words[9][..]), ("a\nb", "q\"2", "plain"));
    assert_eq!((words[60_000].len(), words[60_001].len()), (700_000, 700_001));
}

#[test]
fn a_file_cut_anywhere_is_an_error_or_a_shorter_table() {
    let text = "\u{feff}a,b,c\r\n1,\"x, \"\"y\"\"\",2.5\r\n\r\n3,\"two\nlines\",NA\r\n4,ä,6\r\n";
    let whole = Csv::new().parse(text).unwrap().rows();
    for cut in 0..text.len() {
        if let Ok(table) = Csv::new().parse(&text.as_bytes()[..cut]) {
            assert!(table.rows() <= whole && table.names().len() <= 3, "cut at {cut}");
        }
    }
    // Nor does any byte in place of another one do harm.
    for at in 0..text.len() {
        for byte in [0, b'"', b',', b'\n', b'\r', 0xff] {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = byte;
            drop(Csv::new().parse(&bytes));
        }
    }
}
