
    // Four steps of k at a time, straight from the buffers: for devices that compute on a processor, whose caches serve
    // as well as work-group memory and whose compilers take barriers badly.
    for (var k = first_k; k < end_k; k += 4u) {
        {%- for s in self.sides() %}
        {%- for i in 0..self.patches(s) %}
        {%- if s.wide %}
        {%- for c in 0..4 %}
        let {{ s.name }}{{ i }}_{{ c }} = load_{{ s.name }}(base_{{ s.name }}, {{ s.origin }} + {{ self.first(s, i * 1) }} * 4u{% if s.along_k %} + {{ c }}u, k{% else %}, k + {{ c }}u{% endif %});
        {%- endfor %}
        var {{ s.name }}s{{ i }} = mat4x4<f32>({% for c in 0..4 %}{{ s.name }}{{ i }}_{{ c }}{% if !loop.last %}, {% endif %}{% endfor %});
        {%- else %}
        // A loop, because this loader is long and its copies would be too much for compilers.
        var {{ s.name }}s{{ i }} = mat4x4<f32>();
        for (var c = 0u; c < 4u; c++) {
            let next = load_{{ s.name }}(base_{{ s.name }}, {{ s.origin }} + {{ self.first(s, i * 1) }} * 4u{% if s.along_k %} + c, k{% else %}, k + c{% endif %});
            {{ s.name }}s{{ i }} = mat4x4<f32>({{ s.name }}s{{ i }}[1], {{ s.name }}s{{ i }}[2], {{ s.name }}s{{ i }}[3], next);
        }
        {%- endif %}
        {%- if s.along_k %}
        {{ s.name }}s{{ i }} = transpose({{ s.name }}s{{ i }});
        {%- endif %}
        {%- endfor %}
        {%- endfor %}
        {%- for kk in 0..4 %}
        {%- for i in 0..tm %}
        {%- for j in 0..(tn / 4) %}
        c{{ i }}_{{ j }} += as{{ i / 4 }}[{{ kk }}].{{ LANES[(i % 4) as usize] }} * bs{{ j }}[{{ kk }}];
        {%- endfor %}
        {%- endfor %}
        {%- endfor %}
    }
