// Elementwise: a fused program over every point of a space, nothing shared between points.
// One thread computes one point, or four neighbours along the last dimension where every buffer allows vec4 access.
// Globals: the uniform words `p` and the step's buffers `b0`, `b1`, ...
{% include "head.wgsl" %}

@compute @workgroup_size({{ threads }})
fn main(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let o = ((w.z * n.y + w.y) * n.x + w.x) * {{ threads }}u + t;
    if o >= {{ count }} { return; }
    {%- if let Some(parts) = parts %}
    // The partial sums of a product whose inner dimension was split.
    var acc = {{ parts.ty }}();
    for (var s = 0u; s < {{ parts.parts }}; s++) {
        acc += b{{ parts.scratch }}[s * {{ count }} + o];
    }
    {%- endif %}
    {%- for s in body %}
    {{ s }}
    {%- endfor %}
}
