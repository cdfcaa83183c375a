//! What charts are made of: panels of named series.

/// One figure of a chart, with axes of its own.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) x_label: String,
    pub(super) y_label: String,
    pub(super) log_x: bool,
    pub(super) log_y: bool,
    pub(super) kind: Kind,
    pub(super) series: Vec<Series>,
}

/// How a panel shows its series.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A line through the points of each.
    Lines,
    /// A bar of each in every one of these categories.
    Bars(Vec<String>),
    /// How often the values of each lie in each of so many ranges; in as many as suit their number where that is not said.
    Histogram(Option<usize>),
    /// A row of cells of each, with these names of the columns.
    Heatmap(Vec<String>),
}

/// Points under a name; what shows plain values leaves their x aside.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
    /// A line to compare others with, drawn faintly.
    pub(super) guide: bool,
}

impl Panel {
    pub(super) fn new(title: String, kind: Kind) -> Self {
        let (x_label, y_label) = match kind {
            Kind::Histogram(_) => ("value", "count"),
            _ => ("", ""),
        };
        let (x_label, y_label) = (x_label.to_owned(), y_label.to_owned());
        Panel { title, x_label, y_label, log_x: false, log_y: false, kind, series: Vec::new() }
    }

    /// The series that a legend names, by their places: none where the panel's own words say it already.
    pub(super) fn legend(&self) -> Vec<usize> {
        if matches!(self.kind, Kind::Heatmap(_)) {
            return Vec::new();
        }
        let named: Vec<usize> = (0..self.series.len()).filter(|&i| !self.series[i].name.is_empty()).collect();
        match named[..] {
            [only] if [&self.title, &self.y_label, &self.x_label].contains(&&self.series[only].name) => Vec::new(),
            _ => named,
        }
    }
}

/// A number that can be drawn.
pub trait Coordinate: Copy {
    /// As it is drawn.
    fn coordinate(self) -> f64;
}

macro_rules! coordinates {
    ($($number:ty)*) => {$(
        impl Coordinate for $number {
            fn coordinate(self) -> f64 {
                self as f64
            }
        }
    )*};
}
coordinates!(f32 f64 i8 i16 i32 i64 isize u8 u16 u32 u64 usize);

impl<N: Coordinate> Coordinate for &N {
    fn coordinate(self) -> f64 {
        (*self).coordinate()
    }
}

/// What can be a point of a series: a number, which stands at its place in the series, or a pair of numbers `(x, y)`.
pub trait IntoPoint {
    /// The point, at this place in its series.
    fn into_point(self, place: usize) -> (f64, f64);
}

impl<N: Coordinate> IntoPoint for N {
    fn into_point(self, place: usize) -> (f64, f64) {
        (place as f64, self.coordinate())
    }
}

impl<X: Coordinate, Y: Coordinate> IntoPoint for (X, Y) {
    fn into_point(self, _: usize) -> (f64, f64) {
        (self.0.coordinate(), self.1.coordinate())
    }
}

impl<X: Coordinate, Y: Coordinate> IntoPoint for &(X, Y) {
    fn into_point(self, place: usize) -> (f64, f64) {
        (*self).into_point(place)
    }
}
