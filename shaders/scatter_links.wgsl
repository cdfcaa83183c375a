// Lists for a scatter-add: for each place v < extent the first j with index[j] == v, and then for each j the next one of
// the same place; 0xffffffff where there is none. Walking a list meets its j in rising order, whatever the device.
// One thread finds one link; neighbouring threads read the same or neighbouring indices.
// Globals: the uniform words `p` and the buffers `b0`, `b1`, ...
{% include "head.wgsl" %}

fn place(j: u32) -> u32 {
    {%- if signed %}
    return k_wrap(b{{ index }}[j], {{ extent }});
    {%- else %}
    return b{{ index }}[j];
    {%- endif %}
}

@compute @workgroup_size({{ threads }})
fn main(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let o = ((w.z * n.y + w.y) * n.x + w.x) * {{ threads }}u + t;
    if o >= {{ extent }} + {{ indices }} { return; }
    var v = o;
    var j = 0u;
    if o >= {{ extent }} {
        v = place(o - {{ extent }});
        j = o - {{ extent }} + 1u;
        // Nobody asks for what follows an index outside.
        if v >= {{ extent }} { return; }
    }
    while j < {{ indices }} && place(j) != v { j++; }
    b{{ links }}[o] = select(0xffffffffu, j, j < {{ indices }});
}
