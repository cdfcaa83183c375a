//! The limits of joining.

use std::any::Any;
use std::hash::{Hash, Hasher};

use super::super::check::PLAIN;
use super::super::dispatch::{Shader, Target};
use super::*;

/// A kernel by its text, trusted or not.
struct Text(String, bool);

impl Shader for Text {
    fn body(&self) -> Result<String> {
        Ok(self.0.clone())
    }
    fn name(&self) -> &'static str {
        "text"
    }
    fn variants(&self) -> Vec<String> {
        vec!["text".into()]
    }
    fn trusted(&self) -> bool {
        self.1
    }
    fn same(&self, other: &dyn Shader) -> bool {
        other.as_any().downcast_ref::<Text>().is_some_and(|other| other.0 == self.0)
    }
    fn digest(&self, mut state: &mut dyn Hasher) {
        self.0.hash(&mut state);
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A kernel of `groups` work-groups of `threads` that reads buffer `from` and writes `to`; with so many words of work-group
/// memory, its threads meet.
fn kernel(threads: u32, groups: u64, [from, to]: [u32; 2], words: u32) -> Kernel<u32> {
    let (array, meet) = match words {
        0 => (String::new(), ""),
        _ => (format!("var<workgroup> shared: array<f32, {words}>;\n"), "workgroupBarrier(); "),
    };
    let source = format!(
        "@group(0) @binding(0) var<uniform> p: array<vec4<u32>, 1>;\n\
         @group(0) @binding(1) var<storage, read> b0: array<f32>;\n\
         @group(0) @binding(2) var<storage, read_write> b1: array<f32>;\n{array}\
         fn at(i: u32) -> u32 {{ return i + p[0].x; }}\n\
         @compute @workgroup_size({threads})\n\
         fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) t: u32) {{ \
         {meet}let i = w.x * {threads}u + t; b1[at(i)] = b0[i]; }}\n"
    );
    let binding = |write| Binding { target: Target::Step(0), write, bytes: None };
    let dispatch = Dispatch {
        shader: Box::new(Text(source, true)),
        bindings: vec![binding(false), binding(true)],
        params: vec![7],
        dynamic: vec![(0, 3, crate::dtype::DType::U32)],
        groups: Grid::Row(groups),
    };
    Kernel { dispatch, sources: [from, to].into_iter().collect(), name: format!("{from} to {to}") }
}

fn names(kernels: Vec<Kernel<u32>>) -> Vec<String> {
    let mut names: Vec<_> = join(kernels.into_iter(), &PLAIN).unwrap().into_iter().map(|kernel| kernel.name).collect();
    names.sort();
    names
}

#[test]
fn what_fits_becomes_one_kernel() {
    let kernels = vec![kernel(64, 5, [0, 1], 64), kernel(256, 3, [0, 2], 0), kernel(64, 2, [4, 3], 16)];
    let mut joined = join(kernels.into_iter(), &PLAIN).unwrap();
    assert_eq!(joined.len(), 1);
    let Kernel { dispatch, sources, name } = joined.remove(0);
    // Those that meet come first; the last one is in quarters. What two read is bound once.
    assert_eq!(name, "0 to 1 | 4 to 3 | 0 to 2");
    assert_eq!((&sources[..], dispatch.groups), (&[0, 1, 4, 3, 2][..], Grid::Row(5 + 2 + 12)));
    assert_eq!(dispatch.params, [5, 7, 19, 0, 7, 0, 0, 0, 7, 0, 0, 0, 7, 0, 0, 0]);
    assert_eq!(dispatch.dynamic.iter().map(|d| d.0).collect::<Vec<_>>(), [4, 8, 12]);
    let source = dispatch.shader.source().unwrap();
    naga::front::wgsl::parse_str(&source).unwrap();
    super::super::scope::check(&source).unwrap();
    assert_eq!(source.matches("var<workgroup>").count(), 1, "{source}");
    assert!(source.contains("array<f32, 64>") && source.contains("% 4u * 64u + t"), "{source}");
}

#[test]
fn what_does_not_fit_stays_apart() {
    let fine = || kernel(64, 5, [0, 1], 16);
    // Work-groups of two sizes; one that is too small for the other's threads.
    assert_eq!(names(vec![fine(), kernel(128, 5, [0, 2], 16)]), ["0 to 1", "0 to 2"]);
    assert_eq!(names(vec![fine(), kernel(32, 5, [0, 2], 0)]), ["0 to 1", "0 to 2"]);
    // A kernel that fills the GPU, of its own size or of a grid that cannot be counted through.
    assert_eq!(names(vec![fine(), kernel(64, 1 << 20, [0, 2], 0)]), ["0 to 1", "0 to 2"]);
    let mut grid = kernel(64, 5, [0, 2], 0);
    grid.dispatch.groups = Grid::Given([5, 1, 1]);
    assert_eq!(names(vec![fine(), grid]), ["0 to 1", "0 to 2"]);
    // A program's own shader.
    let mut own = kernel(64, 5, [0, 2], 0);
    own.dispatch.shader = Box::new(Text(own.dispatch.shader.body().unwrap(), false));
    assert_eq!(names(vec![fine(), own]), ["0 to 1", "0 to 2"]);
    // More than some at a time, and more buffers than the device binds.
    let many = |each: u32| (0..9).map(|i| kernel(64, 1, [each * i, 100 + i], 0)).collect();
    assert_eq!(names(many(0)).len(), 3);
    assert_eq!(names(many(1)).len(), 3);
    let wide = Caps { max_storage_bindings: 5, ..PLAIN };
    assert_eq!(join((0..4).map(|i| kernel(64, 1, [i, 100 + i], 0)), &wide).unwrap().len(), 2);
    assert_eq!(join((0..4).map(|i| kernel(64, 1, [0, 100 + i], 0)), &wide).unwrap().len(), 1);
    // Of two types of work-group memory both are taken.
    let with = |of: &str| {
        let mut kernel = kernel(64, 5, [0, 2], 3000);
        let body = kernel.dispatch.shader.body().unwrap().replace("array<f32, 3000>", of);
        kernel.dispatch.shader = Box::new(Text(body, true));
        kernel
    };
    assert_eq!(names(vec![fine(), with("array<f32, 3000>")]).len(), 1);
    assert_eq!(names(vec![with("array<f32, 3000>"), with("array<u32, 2000>")]).len(), 2);
    assert_eq!(names(vec![fine(), with("array<Unknown, 3000>")]).len(), 2);
}
