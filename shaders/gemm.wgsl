// A tiled matrix product with an epilogue: c[z, m, n] = sum over k of a[z, m, k] * b[z, k, n], then a fused program on each element.
// A work-group computes a tile of {{ tile.bm }} x {{ tile.bn }} elements, a {% if matrices.is_some() %}subgroup{% else %}thread{% endif %} {{ tile.tm }} x {{ tile.tn }} of them in registers.
// Loaders read vectors of four along k or along the tile, whichever way the operand lies in memory.
{%- if split.is_some() %}
// Here a work-group takes only one part of k, and leaves its sums in scratch.
{%- endif %}
// Globals: the uniform words `p`, the buffers `b0`, `b1`, ...{% if buffers != 0 %}, and the two tiles{% endif %}.
{%- if matrices.is_some() %}
enable f16;
enable wgpu_cooperative_matrix;
{%- endif %}
{% include "head.wgsl" %}

{%- if buffers != 0 %}
{%- for s in self.sides() %}
var<workgroup> tile_{{ s.name }}: array<{% if matrices.is_some() %}f16{% else if s.along_k %}f32{% else %}vec4<f32>{% endif %}, {{ self.tile_size(s) * buffers }}>;
{%- endfor %}
{%- endif %}
{%- if let Some(m) = matrices %}
// A matrix of sums of each subgroup, on the way to the epilogue.
var<workgroup> sums: array<f32, {{ m.sums(*tile) }}>;
{%- if !m.known() %}
var<workgroup> counted: u32;
{%- endif %}
{%- endif %}

// What is known of a vector of four before k is: where it lies (and for windows its row and column), and how far behind
// the first k of a piece it begins: below 0 in a short piece.
struct Place {
    at: u32,
    y: u32,
    x: u32,
    kk: i32,
}

// For each operand: `place` finds a line's vector, `load` reads it at `k` if it is there (of single elements along k those
// that do not lie before `least`), and `present` keeps what a short piece has of it. What is not there is not read: the
// first element is. Halves (`fetch` takes a single one out of its word) stay bits until `decode` makes numbers of them, so
// that nothing waits for what is on its way.
{% for s in self.sides() %}
{%- if s.taken_out() %}
fn fetch_{{ s.name }}(at: u32) -> u32 {
    return b{{ s.buffer }}[at >> 1u] >> ((at & 1u) * 16u);
}
{%- endif %}
{%- if let Some(half) = s.encoded() %}

fn decode_{{ s.name }}(v: {{ s.four() }}) -> vec4<f32> {
    {%- if s.wide %}
    return vec4<f32>(k_{{ half }}(v.x), k_{{ half }}(v.x >> 16u), k_{{ half }}(v.y), k_{{ half }}(v.y >> 16u));
    {%- else %}
    return vec4<f32>(k_{{ half }}(v.x), k_{{ half }}(v.y), k_{{ half }}(v.z), k_{{ half }}(v.w));
    {%- endif %}
}
{%- endif %}
{% match s.load %}
{% when Load::Strided(w) %}{% include "load_strided.wgsl" %}
{% when Load::Patches(w) %}{% include "load_patches.wgsl" %}
{% when Load::Spread(w) %}{% include "load_spread.wgsl" %}
{% when Load::Kernel(w) %}{% include "load_kernel.wgsl" %}
{% endmatch %}
{%- let here = self.present(s) %}
fn present_{{ s.name }}(place: Place, v: {{ here }}) -> {{ here }} {
    {%- if s.by_lane() %}
    return select({{ here }}(), v, vec4<i32>(place.kk) + vec4<i32>(0, 1, 2, 3) >= vec4<i32>());
    {%- else %}
    return select({{ here }}(), v, place.kk >= 0);
    {%- endif %}
}
{% endfor %}
// One element of the result{% if quads %} (four neighbours of a row; `n` counts fours){% endif %}.
fn finish({% if split.is_some() %}part: u32, {% endif %}z: u32, m: u32, n: u32, o: u32, acc: {% if quads %}vec4<f32>{% else %}f32{% endif %}) {
    {%- for s in finish %}
    {{ s }}
    {%- endfor %}
}

{%- if let Some(m) = matrices %}
// What the subgroups have laid out of their sums: of the parts from `first` on, each `among` of them, the matrix at m0 and n0 of it.
fn take({% if split.is_some() %}part: u32, {% endif %}t: u32, first: u32, among: u32, z: u32, m0: u32, n0: u32) {
    for (var four = t; four < among * {{ m.size * m.size / 4 }}u; four += {{ tile.threads() }}u) {
        let owner = first + four / {{ m.size * m.size / 4 }}u;
        let at = four % {{ m.size * m.size / 4 }}u;
        let row = m0 + owner / {{ tile.bn / tile.tn }}u * {{ tile.tm }}u + at / {{ m.size / 4 }}u;
        let column = n0 + owner % {{ tile.bn / tile.tn }}u * {{ tile.tn }}u + at % {{ m.size / 4 }}u * 4u;
        if owner < {{ tile.parts() }}u && row < {{ self.m }} {
            let line = (z * {{ self.m }} + row) * {{ width }};
            {%- if quads %}
            if column < {{ n }} { finish({% if split.is_some() %}part, {% endif %}z, row, column >> 2u, line + (column >> 2u), vec4<f32>(sums[four * 4u], sums[four * 4u + 1u], sums[four * 4u + 2u], sums[four * 4u + 3u])); }
            {%- else %}
            {%- for c in 0..4 %}
            if column + {{ c }}u < {{ n }} { finish({% if split.is_some() %}part, {% endif %}z, row, column + {{ c }}u, line + column + {{ c }}u, sums[four * 4u + {{ c }}u]); }
            {%- endfor %}
            {%- endif %}
        }
    }
}
{%- endif %}

@compute @workgroup_size({{ tile.threads() }})
fn main(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) nw: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
    {%- if matrices.is_some() %}
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) among: u32,
    {%- endif %}
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
    let m0 = (band * 8u + within % height) * {{ tile.bm }}u;
    let n0 = (within / height) * {{ tile.bn }}u;
    {%- for s in setup %}
    {{ s }}
    {%- endfor %}
    {%- if let Some(m) = matrices %}
    {%- include "gemm_cooperative.wgsl" %}
    {%- else %}
    {%- if tile.slices > 1 %}
    // Neighbouring threads compute one slice of all of the tile.
    let tx = t % {{ tile.bn / tile.tn }}u;
    let ty = t / {{ tile.bn / tile.tn }}u % {{ tile.bm / tile.tm }}u;
    let slice = t / {{ tile.parts() }}u;
    {%- else %}
    // A warp has eight by four threads.
    let tx = t / 32u % {{ tile.bn / tile.tn / 8 }}u * 8u + t % 8u;
    let ty = t / {{ tile.bn / tile.tn * 4 }}u * 4u + t / 8u % 4u;
    {%- endif %}
    {%- for i in 0..tile.tm %}
    {%- for j in 0..(tile.tn / 4) %}
    var c{{ i }}_{{ j }} = vec4<f32>();
    {%- endfor %}
    {%- endfor %}
    {%- if buffers == 0 %}
    {%- include "gemm_direct.wgsl" %}
    {%- else %}
    {%- include "gemm_tiled.wgsl" %}
    {%- endif %}
    let rows = {{ m }};
    let columns = {{ n }};
    let width = {{ width }};
    {%- if tile.slices > 1 %}
    // The slices of each vector of the tile are added up by one thread, in order.
    workgroupBarrier();
    let at = slice % {{ tile.slices / 2 }}u * {{ tile.bm * tile.bn / 4 }}u + ty * {{ tile.bn }}u + tx;
    {%- for s in self.sides() %}
    if slice {% if s.name == "a" %}<{% else %}>={% endif %} {{ tile.slices / 2 }}u {
        {%- for i in 0..tile.tm %}
        {{ self.lay(s, format!("(at + {}u)", i * self.tile.bn / 4).as_str(), i) }}
        {%- endfor %}
    }
    {%- endfor %}
    workgroupBarrier();
    let row = m0 + t / {{ tile.bn / 4 }}u;
    let column = n0 + t % {{ tile.bn / 4 }}u * 4u;
    if t < {{ tile.bm * tile.bn / 4 }}u && row < rows {
        var sum = vec4<f32>();
        {%- for s in self.sides() %}
        {%- for i in 0..(tile.slices / 2) %}
        sum += {{ self.laid(s, format!("t + {}u", i * self.tile.bm * self.tile.bn / 4).as_str()) }};
        {%- endfor %}
        {%- endfor %}
        let line = (z * rows + row) * width;
        {%- if quads %}
        if column < columns { finish(z, row, column >> 2u, line + (column >> 2u), sum); }
        {%- else %}
        {%- for c in 0..4 %}
        if column + {{ c }}u < columns { finish(z, row, column + {{ c }}u, line + column + {{ c }}u, sum.{{ LANES[c] }}); }
        {%- endfor %}
        {%- endif %}
    }
    {%- else %}
    {%- for i in 0..tile.tm %}
    {
        let row = m0 + (ty + {{ tile.bm / tile.tm * (i / 4) }}u) * 4u + {{ i % 4 }}u;
        if row < rows {
            let line = (z * rows + row) * width;
        {%- for j in 0..(tile.tn / 4) %}
            let column{{ j }} = n0 + (tx + {{ tile.bn / tile.tn * j }}u) * 4u;
            {%- if quads %}
            if column{{ j }} < columns { finish({% if split.is_some() %}part, {% endif %}z, row, column{{ j }} >> 2u, line + (column{{ j }} >> 2u), c{{ i }}_{{ j }}); }
            {%- else %}
            {%- for c in 0..4 %}
            if column{{ j }} + {{ c }}u < columns { finish({% if split.is_some() %}part, {% endif %}z, row, column{{ j }} + {{ c }}u, line + column{{ j }} + {{ c }}u, c{{ i }}_{{ j }}.{{ LANES[c] }}); }
            {%- endfor %}
            {%- endif %}
        {%- endfor %}
        }
    }
    {%- endfor %}
    {%- endif %}
    {%- endif %}
}
