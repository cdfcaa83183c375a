{#- The kernels of ordering rows by integer keys: a radix sort, eight bits a pass from the lowest, each pass stable. -#}
// Order: the elements of a row by their keys, as pairs of key and place; equal keys keep their order.
{%- match part %}
{%- when Part::Whole %}
// A work-group orders a row of up to {{ threads * 4 }} elements in its memory.
{%- when Part::Count %}
// A work-group counts the digits of {{ threads * 4 }} neighbours of a row. Counts lie by row, digit and work-group, so that their
// running sums are the places where each work-group's elements of each digit go.
{%- when Part::Place %}
// A work-group orders {{ threads * 4 }} neighbours of a row by the digit, in its memory, and puts each where it goes.
{%- endmatch %}
// Globals: the uniform words `p` and the buffers `b0`, `b1`, ...
{% include "head.wgsl" %}
{%- if part == Part::Count %}
var<workgroup> found: array<atomic<u32>, 256>;
{%- else %}
var<workgroup> pairs: array<vec2<u32>, {{ threads * 4 }}>;
// Running sums of how many elements have each of four digits: two counts of 16 bits a word.
var<workgroup> totals: array<vec2<u32>, {{ threads }}>;
{%- if part == Part::Place %}
// Where the elements of each digit begin in `pairs`.
var<workgroup> starts: array<u32, 256>;
{%- endif %}

// One element of digit `d` as counts, and the count of `d` among such.
fn one(d: u32) -> vec2<u32> {
    let x = 1u << ((d & 1u) * 16u);
    return select(vec2<u32>(x, 0u), vec2<u32>(0u, x), d > 1u);
}

fn held(counts: vec2<u32>, d: u32) -> u32 {
    return (select(counts.x, counts.y, d > 1u) >> ((d & 1u) * 16u)) & 0xffffu;
}

// Orders `pairs` by the two bits from `shift` on.
fn split(shift: u32, t: u32) {
    {%- for i in 0..4 %}
    let x{{ i }} = pairs[t * 4u + {{ i }}u];
    let d{{ i }} = (x{{ i }}.x >> shift) & 3u;
    {%- endfor %}
    let mine = one(d0) + one(d1) + one(d2) + one(d3);
    var sum = mine;
    totals[t] = sum;
    workgroupBarrier();
    for (var h = 1u; h < {{ threads }}u; h = h << 1u) {
        if t >= h { sum += totals[t - h]; }
        workgroupBarrier();
        totals[t] = sum;
        workgroupBarrier();
    }
    let all = totals[{{ threads - 1 }}u];
    let first = held(all, 0u);
    let second = first + held(all, 1u);
    var at = sum - mine + vec2<u32>(first << 16u, second + ((second + held(all, 2u)) << 16u));
    {%- for i in 0..4 %}
    pairs[held(at, d{{ i }})] = x{{ i }};
    at += one(d{{ i }});
    {%- endfor %}
    workgroupBarrier();
}
{%- endif %}

@compute @workgroup_size({{ threads }})
fn main(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let g = (w.z * n.y + w.y) * n.x + w.x;
    if g >= {{ groups }} { return; }
    let line = g / {{ tiles }};
    let tile = g - line * {{ tiles }};
    {%- if part == Part::Count %}
    for (var d = t; d < 256u; d += {{ threads }}u) { atomicStore(&found[d], 0u); }
    workgroupBarrier();
    {%- endif %}
    {%- for i in 0..4 %}
    {
        let q = t + {{ i * threads }}u;
        let place = tile * {{ threads * 4 }}u + q;
        {%- if part != Part::Count %}
        // What fills the last work-group up comes last.
        pairs[q] = vec2<u32>(0xffffffffu, 0xffffffffu);
        {%- endif %}
        if place < {{ extent }} {
            {%- match key %}
            {%- when Some(key) %}
            var key = 0u;
            {{ key }}
            let x = vec2<u32>(key, place);
            {%- when None %}
            let x = b{{ from }}[line * {{ extent }} + place];
            {%- endmatch %}
            {%- if part == Part::Count %}
            atomicAdd(&found[(x.x >> {{ low }}) & 255u], 1u);
            {%- else %}
            pairs[q] = x;
            {%- endif %}
        }
    }
    {%- endfor %}
    workgroupBarrier();
    {%- if part == Part::Count %}
    for (var d = t; d < 256u; d += {{ threads }}u) {
        b{{ counts }}[(line * 256u + d) * {{ tiles }} + tile] = atomicLoad(&found[d]);
    }
    {%- else %}
    for (var shift = {{ low }}; shift < {{ high }}; shift += 2u) { split(shift, t); }
    {%- if part == Part::Place %}
    {%- for i in 0..4 %}
    {
        let q = t + {{ i * threads }}u;
        let d = (pairs[q].x >> {{ low }}) & 255u;
        if q == 0u || d != ((pairs[max(q, 1u) - 1u].x >> {{ low }}) & 255u) { starts[d] = q; }
    }
    {%- endfor %}
    workgroupBarrier();
    {%- endif %}
    {%- for i in 0..4 %}
    {
        let q = t + {{ i * threads }}u;
        let x = pairs[q];
        if x.y != 0xffffffffu {
            {%- if part == Part::Place %}
            let d = (x.x >> {{ low }}) & 255u;
            let to = b{{ counts }}[(line * 256u + d) * {{ tiles }} + tile] + q - starts[d];
            {%- else %}
            let to = q;
            {%- endif %}
            b{{ to }}[line * {{ extent }} + to] = x;
        }
    }
    {%- endfor %}
    {%- endif %}
}
