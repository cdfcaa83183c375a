// Operand {{ s.name }}, found by strides: four neighbours {% if s.along_k %}along k{% else %}of the tile{% endif %} from `line` (the place in the tile's direction) and `k`, 0 outside.
fn load_{{ s.name }}(base: u32, line: u32, k: u32) -> vec4<f32> {
    {%- if s.wide %}
    if line >= {{ s.extent }} || k >= {{ k }} { return vec4<f32>(); }
    return b{{ s.buffer }}[base + {% if s.along_k %}line * {{ w.line }} + (k >> 2u){% else %}(line >> 2u) + k * {{ w.k }}{% endif %}];
    {%- else %}
    var v = vec4<f32>();
    if line >= {{ s.extent }} || k >= {{ k }} { return v; }
    let at = base + line * {{ w.line }} + k * {{ w.k }};
    v.x = b{{ s.buffer }}[at];
    {%- for c in 1..4 %}
    if {% if s.along_k %}k + {{ c }}u < {{ k }}{% else %}line + {{ c }}u < {{ s.extent }}{% endif %} { v.{{ LANES[c as usize] }} = b{{ s.buffer }}[at + {{ c }}u * {% if s.along_k %}{{ w.k }}{% else %}{{ w.line }}{% endif %}]; }
    {%- endfor %}
    return v;
    {%- endif %}
}
