{#- The kernels of sorting: a network of comparisons (bitonic, in the form in which every comparison puts the lesser first). -#}
// Sort: rows of (rows, extent), by pairs of a number that orders as the element does and its place, which no two elements
// share: equal elements keep their order. Rows are filled up to a power of two with pairs that come last.
{%- match part %}
{%- when Part::Whole %}
// A work-group sorts {{ tile / row }} row{% if tile != row %}s{% endif %} in its memory and runs a fused program on what is kept of them.
{%- when Part::Tiles %}
// A work-group sorts {{ tile }} neighbours of a row in its memory and leaves their pairs in scratch.
{%- when Part::Across %}
// One thread compares two pairs in scratch that lie further apart than a tile.
{%- when Part::Within %}
// A work-group does the comparisons of a round that stay within {{ tile }} neighbours, in its memory.
{%- when Part::Last %}
// One thread fetches one element that is kept, and runs a fused program on it.
{%- endmatch %}
// Globals: the uniform words `p` and the buffers `b0`, `b1`, ...
{% include "head.wgsl" %}
{%- if part.shares() %}
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

// Puts pairs of the tile in order that lie `widest` apart, then half of that, down to neighbours.
fn merge(widest: u32, t: u32) {
    for (var apart = widest; apart > 0u; apart = apart >> 1u) {
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
{%- endif %}

@compute @workgroup_size({{ threads }})
fn main(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let g = (w.z * n.y + w.y) * n.x + w.x;
    {%- if part.shares() %}
    if g >= {{ groups }} { return; }
    let first = g * {{ tile }}u;
    {%- for i in 0..tile / threads %}
    {
        let q = t + {{ i * threads }}u;
        {%- if part == Part::Within %}
        pairs[q] = b{{ scratch }}[first + q];
        {%- else %}
        let line = (first + q) / {{ width }};
        let place = (first + q) % {{ width }};
        var key = 0xffffffffu;
        if line < {{ rows }} && place < {{ extent }} {
            {{ key }}
        }
        pairs[q] = vec2<u32>(key, place);
        {%- endif %}
    }
    {%- endfor %}
    workgroupBarrier();
    {%- if part != Part::Within %}
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
        merge(middle >> 1u, t);
    }
    {%- else %}
    merge({{ tile / 2 }}u, t);
    {%- endif %}
    {%- for i in 0..tile / threads %}
    {
        let q = t + {{ i * threads }}u;
        {%- if part == Part::Whole %}
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
        {%- else %}
        b{{ scratch }}[first + q] = pairs[q];
        {%- endif %}
    }
    {%- endfor %}
    {%- else if part == Part::Across %}
    let q = g * {{ threads }}u + t;
    if q >= {{ count }} { return; }
    let low = q / {{ apart }} * {{ apart }} * 2u + q % {{ apart }};
    let high = select(low + {{ apart }}, low ^ ({{ apart }} * 2u - 1u), {{ turn }} == 1u);
    let a = b{{ scratch }}[low];
    let b = b{{ scratch }}[high];
    if a.x > b.x || (a.x == b.x && a.y > b.y) {
        b{{ scratch }}[low] = b;
        b{{ scratch }}[high] = a;
    }
    {%- else %}
    let o = g * {{ threads }}u + t;
    if o >= {{ count }} { return; }
    let line = o / {{ keep }};
    let place = b{{ scratch }}[line * {{ width }} + o % {{ keep }}].y;
    let value = b{{ x }}[line * {{ extent }} + place];
    {%- for s in body %}
    {{ s }}
    {%- endfor %}
    {%- endif %}
}
