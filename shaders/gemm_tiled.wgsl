
    // k in pieces of {{ bk }}: the pieces of both operands are copied to work-group memory, k-major, and multiplied from there.
    // Vectors along k are transposed on the way, and their columns permuted (`^`) so that the writes of a warp spread
    // over all banks.
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
                let next = load_{{ s.name }}(base_{{ s.name }}, {{ s.origin }} + l * 4u + c, k0 + q * 4u);
                rows = mat4x4<f32>(rows[1], rows[2], rows[3], next);
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
