// Operand {{ s.name }}, found by strides: four neighbours {% if s.along_k %}along k{% else %}of the tile{% endif %}.
fn place_{{ s.name }}(base: u32, line: u32, kk: i32) -> Place {
    {%- if s.wide && s.along_k %}
    return Place(base + line * {{ w.line }} + u32(kk >> 2u), 0u, 0u, kk);
    {%- else if s.wide %}
    return Place(base + (line >> 2u) + u32(kk) * {{ w.k }}, 0u, 0u, kk);
    {%- else %}
    return Place(base + line * {{ w.line }} + u32(kk){% if !s.along_k %} * {{ w.k }}{% endif %}, line, 0u, kk);
    {%- endif %}
}

fn load_{{ s.name }}(place: Place, k: u32, {% if s.by_lane() %}least: i32{% else %}there: bool{% endif %}) -> vec4<f32> {
    let at = place.at + {% if s.wide && s.along_k %}(k >> 2u){% else if s.along_k %}k{% else %}k * {{ w.k }}{% endif %};
    {%- if s.wide %}
    return b{{ s.buffer }}[select(0u, at, there)];
    {%- else %}
    return vec4<f32>(
        {%- for c in 0..4 %}
        {%- if s.along_k %}
        b{{ s.buffer }}[select(0u, at + {{ c }}u, place.kk + {{ c }} >= least)],
        {%- else %}
        b{{ s.buffer }}[select(0u, at + min({{ c }}u, {{ s.extent }} - 1u - place.y) * {{ w.line }}, there)],
        {%- endif %}
        {%- endfor %}
    );
    {%- endif %}
}
