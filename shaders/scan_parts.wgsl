// What the parts of each line of a scan begin with: the parts before them combined, in place of their own totals.
// One thread walks the parts of one line.
// Globals: the uniform words `p` and the scratch buffer `b{{ scratch }}`.
{% include "head.wgsl" %}

@compute @workgroup_size({{ threads }})
fn main(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let line = ((w.z * n.y + w.y) * n.x + w.x) * {{ threads }}u + t;
    if line >= {{ lines }} { return; }
    var acc: {{ state }} = {{ identity }};
    for (var part = 0u; part < {{ parts }}; part++) {
        let at = line * {{ parts }} + part;
        let x = b{{ scratch }}[at];
        b{{ scratch }}[at] = acc;
        acc = {{ combine }};
    }
}
