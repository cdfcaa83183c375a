
    // Four steps of k at a time, straight from the buffers: for devices that compute on a processor, whose caches serve
    // as well as work-group memory and whose compilers take barriers badly. If k does not divide, the first four are short.
    let short = i32((first_k - end_k) & 3u);
    {%- for s in self.sides() %}
    {%- for i in 0..self.vectors(s) %}
    {%- let line = self.first(s, i) %}
    let {{ s.name }}_line{{ i }} = {{ s.origin }} + {{ line }} * 4u;
    {%- if s.wide %}
    {%- for c in 0..4 %}
    {%- if s.along_k %}
    let {{ s.name }}{{ i }}_{{ c }} = place_{{ s.name }}(base_{{ s.name }}, min({{ s.name }}_line{{ i }} + {{ c }}u, {{ s.extent }} - 1u), -short);
    {%- else %}
    let {{ s.name }}{{ i }}_{{ c }} = place_{{ s.name }}(base_{{ s.name }}, min({{ s.name }}_line{{ i }}, {{ s.extent }} - 4u), {{ c }} - short);
    {%- endif %}
    {%- endfor %}
    {%- endif %}
    {%- endfor %}
    {%- endfor %}
    for (var k = first_k; k < end_k + u32(short); k += 4u) {
        {%- if ragged %}
        let least = select(-4, 0, k == first_k);
        {%- else %}
        let least = -4;
        {%- endif %}
        {%- for s in self.sides() %}
        {%- for i in 0..self.vectors(s) %}
        {%- if s.wide %}
        var {{ s.name }}s{{ i }} = mat4x4<f32>({% for c in 0..4 %}{{ s.decode() }}(load_{{ s.name }}({{ s.name }}{{ i }}_{{ c }}, k, {{ s.name }}{{ i }}_{{ c }}.kk >= least)){% if !loop.last %}, {% endif %}{% endfor %});
        {%- else %}
        // A loop, because this loader is long and its copies would be too much for compilers.
        var {{ s.name }}s{{ i }} = mat4x4<f32>();
        for (var c = 0u; c < 4u; c++) {
            {%- if s.along_k %}
            let place_{{ s.name }}{{ i }} = place_{{ s.name }}(base_{{ s.name }}, min({{ s.name }}_line{{ i }} + c, {{ s.extent }} - 1u), -short);
            {%- else %}
            let place_{{ s.name }}{{ i }} = place_{{ s.name }}(base_{{ s.name }}, min({{ s.name }}_line{{ i }}, {{ s.extent }} - 1u), i32(c) - short);
            {%- endif %}
            let value_{{ s.name }}{{ i }} = {{ s.decode() }}(load_{{ s.name }}(place_{{ s.name }}{{ i }}, k, {% if !s.by_lane() %}place_{{ s.name }}{{ i }}.kk >= {% endif %}least));
            {{ s.name }}s{{ i }} = mat4x4<f32>({{ s.name }}s{{ i }}[1], {{ s.name }}s{{ i }}[2], {{ s.name }}s{{ i }}[3], value_{{ s.name }}{{ i }});
        }
        {%- endif %}
        {%- if ragged %}
        if k == first_k {
            {%- for c in 0..4 %}
            {{ s.name }}s{{ i }}[{{ c }}] = present_{{ s.name }}(Place(0u, 0u, 0u, {% if s.along_k %}0{% else %}{{ c }}{% endif %} - short), {{ s.name }}s{{ i }}[{{ c }}]);
            {%- endfor %}
        }
        {%- endif %}
        {%- if s.along_k %}
        {{ s.name }}s{{ i }} = transpose({{ s.name }}s{{ i }});
        {%- endif %}
        {%- endfor %}
        {%- endfor %}
        {%- for kk in 0..4 %}
        {%- for i in 0..tile.tm %}
        {%- for j in 0..(tile.tn / 4) %}
        c{{ i }}_{{ j }} += as{{ i / 4 }}[{{ kk }}].{{ LANES[(i % 4) as usize] }} * bs{{ j }}[{{ kk }}];
        {%- endfor %}
        {%- endfor %}
        {%- endfor %}
    }
