{#- The kernels that give the results of sorting. -#}
{%- match part %}
{%- when Part::Whole %}
// Sort: rows of (rows, extent), by pairs of a number that orders as the element does and its place, which no two elements
// share: equal elements keep their order. Rows are filled up to a power of two with pairs that come last.
// A work-group sorts {{ tile / row }} row{% if tile != row %}s{% endif %} in its memory, by a bitonic network in the form in which every comparison puts the
// lesser first, and runs a fused program on what is kept of them.
{%- when Part::Last %}
// Sort: the results of rows that are in order. One thread fetches one element that is kept, and runs a fused program on it.
{%- endmatch %}
// Globals: the uniform words `p` and the buffers `b0`, `b1`, ...
{% include "head.wgsl" %}
{%- if part == Part::Whole %}
var<workgroup> pairs: array<vec2<u32>, {{ tile }}>;

// Puts two pairs of the tile in order.
fn settle(low: u32, high: u32) {
    let a = pairs[low];
    let b = pairs[high];
    if a.x > b.x || (a.x == b.x && a.y > b.y) {
        pairs[low] = b;
        pairs[high] = a;
    }
}
{%- endif %}

@compute @workgroup_size({{ threads }})
fn main(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let g = (w.z * n.y + w.y) * n.x + w.x;
    {%- if part == Part::Whole %}
    if g >= {{ groups }} { return; }
    let first = g * {{ tile }}u;
    {%- for i in 0..tile / threads %}
    {
        let q = t + {{ i * threads }}u;
        let line = (first + q) / {{ width }};
        let place = (first + q) % {{ width }};
        var key = 0xffffffffu;
        if line < {{ rows }} && place < {{ extent }} {
            {{ key }}
        }
        pairs[q] = vec2<u32>(key, place);
    }
    {%- endfor %}
    workgroupBarrier();
    for (var size = 2u; size <= {{ row }}u; size = size << 1u) {
        let middle = size >> 1u;
        {%- for i in 0..tile / threads / 2 %}
        {
            let q = t + {{ i * threads }}u;
            let low = q / middle * size + q % middle;
            settle(low, (low ^ (size - 1u)));
        }
        {%- endfor %}
        workgroupBarrier();
        for (var apart = middle >> 1u; apart > 0u; apart = apart >> 1u) {
            {%- for i in 0..tile / threads / 2 %}
            {
                let q = t + {{ i * threads }}u;
                let low = q / apart * apart * 2u + q % apart;
                settle(low, low + apart);
            }
            {%- endfor %}
            workgroupBarrier();
        }
    }
    {%- for i in 0..tile / threads %}
    {
        let q = t + {{ i * threads }}u;
        let line = (first + q) / {{ width }};
        let at = (first + q) % {{ width }};
        if line < {{ rows }} && at < {{ keep }} {
            let place = pairs[q].y;
            let value = b{{ x }}[line * {{ extent }} + place];
            let o = line * {{ keep }} + at;
            {%- for s in body %}
            {{ s }}
            {%- endfor %}
        }
    }
    {%- endfor %}
    {%- else %}
    let o = g * {{ threads }}u + t;
    if o >= {{ count }} { return; }
    let line = o / {{ keep }};
    let place = b{{ pairs }}[line * {{ extent }} + o % {{ keep }}].y;
    let value = b{{ x }}[line * {{ extent }} + place];
    {%- for s in body %}
    {{ s }}
    {%- endfor %}
    {%- endif %}
}
