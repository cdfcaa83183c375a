// A tiled matrix product with an epilogue: c[z, m, n] = sum over k of a[z, m, k] * b[z, k, n], then a fused program on each element.
// A work-group computes a tile of {{ bm }} x {{ bn }} elements. It walks k in pieces of {{ bk }}: the pieces of both operands are copied to
// work-group memory, k-major, then each thread multiplies its {{ tm }} x {{ tn }} elements out of registers.
// Loaders read vectors of four along k or along the tile, whichever way the operand lies in memory; those along k are
// transposed on the way, and their columns permuted (`^`) so that the writes of a warp spread over all banks.
{%- if split.is_some() %}
// Here a work-group takes only one part of k, and leaves its sums in scratch.
{%- endif %}
// Globals: the uniform words `p`, the buffers `b0`, `b1`, ..., and the two tiles.
{% include "head.wgsl" %}

var<workgroup> tile_a: array<vec4<f32>, {{ bm * bk / 4 }}>;
var<workgroup> tile_b: array<vec4<f32>, {{ bn * bk / 4 }}>;
{% for s in self.sides() %}
{% match s.load %}
{% when Load::Strided(w) %}{% include "load_strided.wgsl" %}
{% when Load::Patches(w) %}{% include "load_patches.wgsl" %}
{% when Load::Spread(w) %}{% include "load_spread.wgsl" %}
{% when Load::Kernel(w) %}{% include "load_kernel.wgsl" %}
{% endmatch %}
{% endfor %}
// One element of the result{% if quads %} (four neighbours of a row; `n` counts fours){% endif %}.
fn finish({% if split.is_some() %}part: u32, {% endif %}z: u32, m: u32, n: u32, acc: {% if quads %}vec4<f32>{% else %}f32{% endif %}) {
    let o = (z * {{ m }} + m) * {{ width }} + n;
    {%- for s in finish %}
    {{ s }}
    {%- endfor %}
}

@compute @workgroup_size({{ self.threads() }})
fn main(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) nw: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let gid = (w.z * nw.y + w.y) * nw.x + w.x;
    if gid >= {{ groups }} { return; }
    let tiles = {{ tiles_m }} * {{ tiles_n }};
    {%- if let Some(split) = split %}
    let part = gid / (tiles * {{ split.batch }});
    let z = gid / tiles - part * {{ split.batch }};
    let first_k = part * {{ split.chunk }};
    let end_k = min(first_k + {{ split.chunk }}, {{ k }});
    {%- else %}
    let z = gid / tiles;
    let first_k = 0u;
    let end_k = {{ k }};
    {%- endif %}
    // Bands of eight tile rows, column by column: work-groups that run together share operands in the cache.
    let order = gid % tiles;
    let band = order / ({{ tiles_n }} * 8u);
    let height = min({{ tiles_m }} - band * 8u, 8u);
    let within = order - band * {{ tiles_n }} * 8u;
    let m0 = (band * 8u + within % height) * {{ bm }}u;
    let n0 = (within / height) * {{ bn }}u;
    {%- for s in setup %}
    {{ s }}
    {%- endfor %}
    let tx = t % {{ bn / tn }}u;
    let ty = t / {{ bn / tn }}u;
    {%- for i in 0..tm %}
    {%- for j in 0..(tn / 4) %}
    var c{{ i }}_{{ j }} = vec4<f32>();
    {%- endfor %}
    {%- endfor %}
    for (var k0 = first_k; k0 < end_k; k0 += {{ bk }}u) {
        {%- for s in self.sides() %}
        {%- let row = s.lines / 4 %}
        {%- for u in self.rounds(s) %}
        {%- if self.even(s) %}
        {
        {%- else %}
        if {{ u }} < {{ self.pieces(s) }}u {
        {%- endif %}
            let u = {{ u }};
            {%- if s.along_k %}
            let q = u % {{ bk / 4 }}u;
            let l = u / {{ bk / 4 }}u;
            {%- if s.wide %}
            {%- for c in 0..4 %}
            let v{{ c }} = load_{{ s.name }}(base_{{ s.name }}, {{ s.origin }} + l * 4u + {{ c }}u, k0 + q * 4u);
            {%- endfor %}
            var rows = mat4x4<f32>(v0, v1, v2, v3);
            {%- else %}
            // A loop, because this loader is long and its copies would be too much for compilers.
            var rows = mat4x4<f32>();
            for (var c = 0u; c < 4u; c++) {
                rows[c] = load_{{ s.name }}(base_{{ s.name }}, {{ s.origin }} + l * 4u + c, k0 + q * 4u);
            }
            {%- endif %}
            let at = q * {{ s.lines }}u + (l ^ ((q & 3u) << 1u));
            {%- for c in LANES %}
            tile_{{ s.name }}[at + {{ row * loop.index0 as u32 }}u] = vec4<f32>(rows[0].{{ c }}, rows[1].{{ c }}, rows[2].{{ c }}, rows[3].{{ c }});
            {%- endfor %}
            {%- else %}
            tile_{{ s.name }}[u] = load_{{ s.name }}(base_{{ s.name }}, {{ s.origin }} + u % {{ row }}u * 4u, k0 + u / {{ row }}u);
            {%- endif %}
        }
        {%- endfor %}
        {%- endfor %}
        workgroupBarrier();
        for (var k = 0u; k < {{ bk }}u; k++) {
            {%- if a.along_k || b.along_k %}
            let swizzle = ((k >> 2u) & 3u) << 1u;
            {%- endif %}
            {%- for i in 0..(tm / 4) %}
            let x{{ i }} = tile_a[k * {{ bm / 4 }}u + {{ self.at("ty", bm / tm * i, a) }}];
            {%- endfor %}
            {%- for j in 0..(tn / 4) %}
            let y{{ j }} = tile_b[k * {{ bn / 4 }}u + {{ self.at("tx", bn / tn * j, b) }}];
            {%- endfor %}
            {%- for i in 0..tm %}
            {%- for j in 0..(tn / 4) %}
            c{{ i }}_{{ j }} += x{{ i / 4 }}.{{ LANES[(i % 4) as usize] }} * y{{ j }};
            {%- endfor %}
            {%- endfor %}
        }
        workgroupBarrier();
    }
    {%- for i in 0..tm %}
    {
        let m = m0 + (ty + {{ bm / tm * (i / 4) }}u) * 4u + {{ i % 4 }}u;
        if m < {{ m }} {
        {%- for j in 0..(tn / 4) %}
            let n{{ j }} = n0 + (tx + {{ bn / tn * j }}u) * 4u;
            {%- if quads %}
            if n{{ j }} < {{ n }} { finish({% if split.is_some() %}part, {% endif %}z, m, n{{ j }} >> 2u, c{{ i }}_{{ j }}); }
            {%- else %}
            let done{{ j }} = c{{ i }}_{{ j }};
            for (var c = 0u; c < 4u && n{{ j }} + c < {{ n }}; c++) { finish({% if split.is_some() %}part, {% endif %}z, m, n{{ j }} + c, done{{ j }}[c]); }
            {%- endif %}
        {%- endfor %}
        }
    }
    {%- endfor %}
}
