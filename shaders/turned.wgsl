{#- Pointwise work on operands that are walked along another dimension than the result. -#}
// Turned: a fused program over every point of a space, nothing shared between points, where {{ loads.len() }} operand{% if loads.len() > 1 %}s lie{% else %} lies{% endif %} in memory
// along another dimension (m) than the results (n). A work-group takes a tile of {{ side }} x {{ side }} points: it reads those operands
// along m into its memory, whose rows are one longer than the tile so that columns are spread over its banks, and then
// goes along n. Globals: the uniform words `p`, the step's buffers `b0`, `b1`, ..., and an array for each operand.
{% include "head.wgsl" %}
{%- for load in loads %}
var<workgroup> t{{ loop.index0 }}: array<{{ load.ty }}, {{ side * (side + 1) }}>;
{%- endfor %}

@compute @workgroup_size({{ threads }})
fn main(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let g = (w.z * groups.y + w.y) * groups.x + w.x;
    if g >= {{ tiles }} { return; }
    let row = g / {{ across }};
    let z = row / {{ down }};
    let m0 = (row - z * {{ down }}) * {{ side }}u;
    let n0 = (g - row * {{ across }}) * {{ side }}u;
    let fast = t % {{ side }}u;
    let slow = t / {{ side }}u;
    {%- for s in setup %}
    {{ s }}
    {%- endfor %}
    for (var s = slow; s < {{ side }}u; s += {{ threads / side }}u) {
        let m = m0 + fast;
        let n = n0 + s;
        if m < {{ rows }} && n < {{ columns }} {
            let o = (z * {{ rows }} + m) * {{ columns }} + n;
            {%- for s in hoisted %}
            {{ s }}
            {%- endfor %}
            {%- for load in loads %}
            t{{ loop.index0 }}[s * {{ side + 1 }}u + fast] = {{ load.element }};
            {%- endfor %}
        }
    }
    workgroupBarrier();
    for (var s = slow; s < {{ side }}u; s += {{ threads / side }}u) {
        let m = m0 + s;
        let n = n0 + fast;
        let turned = fast * {{ side + 1 }}u + s;
        if m < {{ rows }} && n < {{ columns }} {
            let o = (z * {{ rows }} + m) * {{ columns }} + n;
            {%- for s in hoisted %}
            {{ s }}
            {%- endfor %}
            {%- for s in body %}
            {{ s }}
            {%- endfor %}
        }
    }
}
