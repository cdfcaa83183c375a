// Scatter-add without atomics: out[o, v, i] = base[o, v, i] + the sum of src[o, j, i] over the j with index[j] == v, then a fused
// program on each element. The order of j is fixed, so equal inputs give equal bits.
// One thread computes one element of the result and walks {% if links.is_some() %}the list of its place{% else %}all indices{% endif %}; neighbouring threads read the same ones.
// Globals: the uniform words `p` and the buffers `b0`, `b1`, ...
{% include "head.wgsl" %}

@compute @workgroup_size({{ threads }})
fn main(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let o = ((w.z * n.y + w.y) * n.x + w.x) * {{ threads }}u + t;
    if o >= {{ count }} { return; }
    let line = o / {{ inner }};
    let i = o - line * {{ inner }};
    let outer = line / {{ extent }};
    let v = line - outer * {{ extent }};
    {%- if links.is_none() && signed %}
    // Negative indices count from the end.
    let from_end = bitcast<i32>(v - {{ extent }});
    let from_start = bitcast<i32>(v);
    {%- endif %}
    let first = outer * {{ indices }} * {{ inner }} + i;
    var acc = b{{ base }}[o];
    {%- match links %}
    {%- when Some(links) %}
    for (var j = b{{ links }}[v]; j != 0xffffffffu; j = b{{ links }}[{{ extent }} + j]) {
        acc += b{{ src }}[first + j * {{ inner }}];
    }
    {%- when None %}
    for (var j = 0u; j < {{ indices }}; j++) {
        let index = b{{ index }}[j];
        if {% if signed %}index == from_start || index == from_end{% else %}index == v{% endif %} {
            acc += b{{ src }}[first + j * {{ inner }}];
        }
    }
    {%- endmatch %}
    {%- for s in body %}
    {{ s }}
    {%- endfor %}
}
