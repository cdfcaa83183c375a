{#- Scans along the middle axis of (outer, extent, inner). -#}
// Scan: running {{ what }} along an axis, then a fused program on each element.
{%- if serial %}
// One thread walks one line of the axis; neighbouring threads have neighbouring lines.
{%- else if partial %}
// A work-group combines its part of a line and leaves that in scratch.
{%- else %}
// A work-group scans {% if parts.is_some() %}its part of a line{% else %}a line{% endif %}, {{ threads * 4 }} elements at a time, four neighbours a thread: each thread
// scans its own, the work-group scans the threads' totals in its memory, and a carry goes on to the next elements.
{%- endif %}
// Globals: the uniform words `p` and the buffers `b0`, `b1`, ...
{% include "head.wgsl" %}
{%- if !serial %}
var<workgroup> totals: array<{{ state }}, {{ threads }}>;
{%- endif %}

@compute @workgroup_size({{ threads }})
fn main(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let g = (w.z * n.y + w.y) * n.x + w.x;
    {%- if serial %}
    let line = g * {{ threads }}u + t;
    if line >= {{ lines }} { return; }
    let start = line / {{ inner }} * {{ extent }} * {{ inner }} + line % {{ inner }};
    var acc: {{ state }} = {{ identity }};
    for (var j = 0u; j < {{ extent }}; j++) {
        let at = {% if backwards %}{{ extent }} - 1u - j{% else %}j{% endif %};
        let o = start + at * {{ inner }};
        let x = {{ load }};
        acc = {{ combine("acc", "x") }};
        {%- for s in body %}
        {{ s }}
        {%- endfor %}
    }
    {%- else %}
    if g >= {{ groups }} { return; }
    {%- match parts %}
    {%- when Some(parts) %}
    let line = g / {{ parts.count }};
    let part = g - line * {{ parts.count }};
    let begin = part * {{ parts.chunk }};
    let end = min(begin + {{ parts.chunk }}, {{ extent }});
    var carry: {{ state }} = {% if partial %}{{ identity }}{% else %}b{{ parts.scratch }}[g]{% endif %};
    {%- when None %}
    let line = g;
    let begin = 0u;
    let end = {{ extent }};
    var carry: {{ state }} = {{ identity }};
    {%- endmatch %}
    let start = line / {{ inner }} * {{ extent }} * {{ inner }} + line % {{ inner }};
    for (var base = begin; base < end; base += {{ threads * 4 }}u) {
        let first = base + t * 4u;
        {%- for i in 0..4 %}
        var v{{ i }}: {{ state }} = {{ identity }};
        if first + {{ i }}u < end {
            let j = first + {{ i }}u;
            let at = {% if backwards %}{{ extent }} - 1u - j{% else %}j{% endif %};
            let o = start + at * {{ inner }};
            v{{ i }} = {{ load }};
        }
        {%- if i > 0 %}
        v{{ i }} = {{ combine(&format!("v{}", i - 1), &format!("v{i}")) }};
        {%- endif %}
        {%- endfor %}
        totals[t] = v3;
        workgroupBarrier();
        for (var h = 1u; h < {{ threads }}u; h = h << 1u) {
            var x = totals[t];
            if t >= h {
                let y = totals[t - h];
                x = {{ combine("y", "x") }};
            }
            workgroupBarrier();
            totals[t] = x;
            workgroupBarrier();
        }
        {%- if !partial %}
        var before = carry;
        if t > 0u {
            let y = totals[t - 1u];
            before = {{ combine("carry", "y") }};
        }
        {%- for i in 0..4 %}
        if first + {{ i }}u < end {
            let j = first + {{ i }}u;
            let at = {% if backwards %}{{ extent }} - 1u - j{% else %}j{% endif %};
            let o = start + at * {{ inner }};
            let acc = {{ combine("before", &format!("v{i}")) }};
            {%- for s in body %}
            {{ s }}
            {%- endfor %}
        }
        {%- endfor %}
        {%- endif %}
        let total = totals[{{ threads - 1 }}u];
        carry = {{ combine("carry", "total") }};
        workgroupBarrier();
    }
    {%- if partial %}
    {%- if let Some(parts) = parts %}
    if t == 0u { b{{ parts.scratch }}[g] = carry; }
    {%- endif %}
    {%- endif %}
    {%- endif %}
}
