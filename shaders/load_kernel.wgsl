// Operand {{ s.name }}, a convolution's kernel (kh, kw, c, f) for the gradient of its input: channel `line` against four
// neighbouring taps (kh, kw, f) along k.
fn load_{{ s.name }}(base: u32, line: u32, k: u32) -> vec4<f32> {
    var v = vec4<f32>();
    if line >= {{ s.extent }} || k >= {{ k }} { return v; }
    {%- for e in 0..self.spans(s) %}
    {
        let tap = k + {{ e }}u;
        let spot = tap / {{ w.f }};
        let at = (spot * {{ w.c }} + line) * {{ w.f }} + (tap - spot * {{ w.f }});
        {%- if s.wide %}
        v = b{{ s.buffer }}[at >> 2u];
        {%- else %}
        if tap < {{ k }} { v.{{ LANES[e as usize] }} = b{{ s.buffer }}[at]; }
        {%- endif %}
    }
    {%- endfor %}
    return v;
}
