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

fn load_{{ s.name }}(place: Place, k: u32, {% if s.by_lane() %}least: i32{% else %}there: bool{% endif %}) -> {{ s.four() }} {
    let at = place.at + {% if s.wide && s.along_k %}(k >> 2u){% else if s.along_k %}k{% else %}k * {{ w.k }}{% endif %};
    {%- if s.wide %}
    return {{ s.from() }}select(0u, at, there){{ s.to() }};
    {%- else %}
    return {{ s.four() }}(
        {%- for c in 0..4 %}
        {%- if s.along_k %}
        {{ s.from() }}select(0u, at + {{ c }}u, place.kk + {{ c }} >= least){{ s.to() }},
        {%- else %}
        {{ s.from() }}select(0u, at + min({{ c }}u, {{ s.extent }} - 1u - place.y) * {{ w.line }}, there){{ s.to() }},
        {%- endif %}
        {%- endfor %}
    );
    {%- endif %}
}
