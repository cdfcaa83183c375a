// Where each place's elements begin among the ordered ones, for a scatter-add: for v from 0 to {{ extent }} how many have a
// lesser place. One thread looks for one place, halving what is left.
// Globals: the uniform words `p` and the buffers `b0`, `b1`, ...
{% include "head.wgsl" %}

@compute @workgroup_size({{ threads }})
fn main(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let v = ((w.z * n.y + w.y) * n.x + w.x) * {{ threads }}u + t;
    if v > {{ extent }} { return; }
    var low = 0u;
    var high = {{ indices }};
    while low < high {
        let middle = (low + high) >> 1u;
        if b{{ pairs }}[middle].x < v { low = middle + 1u; } else { high = middle; }
    }
    b{{ runs }}[v] = low;
}
