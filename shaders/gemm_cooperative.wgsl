
    // Subgroups may have fewer threads than the tile has been laid out for, and more; where they are fewer than its parts, they
    // take them in rounds, and where there are more than parts, the last one is computed by several.
    {%- if m.known() %}
    let rounds = {{ m.rounds(*tile) }}u;
    {%- else %}
    if t == 0u { counted = among; }
    let rounds = ({{ tile.parts() - 1 }}u + workgroupUniformLoad(&counted)) / workgroupUniformLoad(&counted);
    {%- endif %}
    for (var round = 0u; round < rounds; round++) {
    let mine = min(round * among + subgroup, {{ tile.parts() - 1 }}u);
    let tx = mine % {{ tile.bn / tile.tn }}u;
    let ty = mine / {{ tile.bn / tile.tn }}u;
    {%- for i in 0..self.matrices_of(a) %}
    {%- for j in 0..self.matrices_of(b) %}
    var c{{ i }}_{{ j }} = coop_mat{{ m.size }}x{{ m.size }}<f32, C>();
    {%- endfor %}
    {%- endfor %}
    {%- include "gemm_tiled.wgsl" %}
    {%- for i in 0..self.matrices_of(a) %}
    {%- for j in 0..self.matrices_of(b) %}
    workgroupBarrier();
    coopStoreT(c{{ i }}_{{ j }}, &sums[subgroup * {{ m.size * m.size }}u], {{ m.size }}u);
    workgroupBarrier();
    take({% if split.is_some() %}part, {% endif %}t, round * among, among, z, m0 + {{ i * m.size }}u, n0 + {{ j * m.size }}u);
    {%- endfor %}
    {%- endfor %}
    }
