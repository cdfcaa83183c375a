//! That it sees what it is for.

#[cfg(feature = "cpu")]
mod programs;

use super::memory::Memory;
use super::{Bindings, execute};

/// Runs two work-groups of four invocations, in subgroups of two, with 16 words of ones at `given`, and 16 words of which
/// nothing is known at `out`; gives the latter.
fn run(variables: &str, body: &str) -> Result<Vec<u32>, String> {
    let source = format!(
        "@group(0) @binding(0) var<uniform> p: array<vec4<u32>, 1>;
        @group(0) @binding(1) var<storage, read> given: array<u32>;
        @group(0) @binding(2) var<storage, read_write> out: array<u32>;
        var<workgroup> tile: array<u32, 4>;
        {variables}
        @compute @workgroup_size(4)
        fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) t: u32) {{
            {body}
        }}"
    );
    let unknown = Memory::unknown("out", 16);
    let mut memory = [Memory::of("p", &[2, 1, 1, 1]), Memory::of("given", &[1; 16]), unknown];
    let bindings = Bindings::from_iter([(0, (0, 4)), (1, (1, 16)), (2, (2, 16))]);
    execute(&source, &mut memory, bindings, [2, 1, 1], 2)?;
    Ok(memory[2].values())
}

#[track_caller]
fn refused(body: &str, why: &str) {
    let error = run("", body).expect_err(body);
    assert!(error.contains(why), "{error}");
}

#[test]
fn it_computes() {
    let neighbours = "tile[t] = t + given[t]; workgroupBarrier(); out[w.x * 4u + t] = tile[(t + 1u) % 4u] * 10u + w.x;";
    assert_eq!(run("", neighbours).unwrap()[..8], [20, 30, 40, 10, 21, 31, 41, 11]);
    let flow = "var sum = 0u;
        for (var i = 0u; i < 10u; i++) {
            if i == t { continue; }
            if i > t + 4u { break; }
            switch i { case 1u, 2u: { sum += 100u; } case 3u: { if t == 0u { break; } sum += 1000u; } default: { sum += i; } }
        }
        out[w.x * 4u + t] = sum + half(t).x;";
    let half = "fn half(t: u32) -> vec2<u32> { if t % 2u == 0u { return vec2<u32>(t, 1u); } return vec2<u32>(9u); }";
    // Of 0 to t + 4 without t: hundreds for 1 and 2, a thousand for 3 (but not for t = 0), the others as they are.
    assert_eq!(run(half, flow).unwrap()[..4], [204, 1118, 1117, 231]);
    // Counts of both work-groups, in any order; and what each has counted.
    let counting =
        "if t == 0u { atomicStore(&count, 0u); } workgroupBarrier(); atomicAdd(&count, t + 1u); workgroupBarrier();
        out[w.x * 4u + t] = atomicLoad(&count) + subgroupShuffleXor(t, 1u);";
    assert_eq!(run("var<workgroup> count: atomic<u32>;", counting).unwrap()[..4], [11, 10, 13, 12]);
}

#[test]
fn invocations_that_meet_are_refused() {
    let between = "with no barrier between";
    refused("tile[t] = t; out[w.x * 4u + t] = tile[3u - t];", between);
    refused("tile[t / 2u] = t;", between);
    refused("tile[t] = t; workgroupBarrier(); let x = tile[3u - t]; tile[t] = x;", between);
    // What the barrier of a work-group's memory does nothing for; and work-groups have none.
    refused("out[w.x * 4u + t] = t; workgroupBarrier(); out[8u + w.x * 4u + t] = out[w.x * 4u + 3u - t];", between);
    refused("out[t] = t;", between);
    refused("if w.x == 0u { out[t] = t; } else { out[8u + t] = out[t]; }", between);
    assert!(
        run("", "out[w.x * 4u + t] = t; storageBarrier(); out[8u + w.x * 4u + t] = out[w.x * 4u + 3u - t];").is_ok()
    );
}

/// Past the end of a row the last element is read, which another invocation may be overwriting.
#[test]
fn what_nobody_uses_may_be_anything() {
    let read = "let at = w.x * 4u + t; out[at] = t; storageBarrier(); let x = out[min(at, w.x * 4u + 2u)];";
    assert_eq!(run("", &format!("{read} if t < 3u {{ out[at] = x + 10u; }}")).unwrap()[..4], [10, 11, 12, 3]);
    refused(&format!("{read} if t < 3u {{ out[at] = 10u; }} out[8u + at] = x;"), "with no barrier between");
}

#[test]
fn what_is_not_there_is_refused() {
    refused("out[w.x * 4u + t] = given[13u + t];", "takes element 16 of 16");
    refused("out[i32(t) - 1] = 1u;", "takes element -1 of 16");
    refused("var own = array<u32, 3>(); own[t] = 1u;", "takes element 3 of 3");
    refused("out[w.x * 4u + t] = 8u / t;", "invocation 0 of work-group 0 computes Divide of 8 and 0");
    refused("out[w.x * 4u + t] = 8u << (29u + t);", "invocation 3 of work-group 0 computes ShiftLeft of 8 and 32");
    refused("out[w.x * 4u + t] = tile[t];", "which nobody wrote");
    refused("let x = out[8u + t]; out[w.x * 4u + t] = x;", "which nobody wrote");
    refused("if t > 0u { workgroupBarrier(); }", "to which invocation 0 of work-group 0 does not come");
    refused("if t == 3u { return; } workgroupBarrier();", "to which invocation 3 of work-group 0 does not come");
    refused("if t < 3u { out[w.x * 4u + t] = subgroupShuffleXor(t, 1u); }", "only a part of subgroup 1");
}
