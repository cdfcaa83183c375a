// Operand {{ s.name }}, a convolution's kernel (kh, kw, c, f) for the gradient of its input: channel `line` against four
// neighbouring taps (kh, kw, f) along k.
fn load_{{ s.name }}(base: u32, line: u32, k: u32) -> vec4<f32> {
    var v = vec4<f32>();
    if line >= {{ s.extent }} || k >= {{ k }} { return v; }
    for (var e = 0u; e < {% if s.wide %}1u{% else %}4u && k + e < {{ k }}{% endif %}; e++) {
        let tap = k + e;
        let spot = tap / {{ w.f }};
        let at = (spot * {{ w.c }} + line) * {{ w.f }} + (tap - spot * {{ w.f }});
        {%- if s.wide %}
        v = b{{ s.buffer }}[at >> 2u];
        {%- else %}
        v[e] = b{{ s.buffer }}[at];
        {%- endif %}
    }
    return v;
}
