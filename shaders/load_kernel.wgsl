// Operand {{ s.name }}, a convolution's kernel (kh, kw, c, f) for the gradient of its input: channel `line` against four
// neighbouring taps (kh, kw, f) along k.
fn load_{{ s.name }}(base: u32, line: u32, k: u32) -> vec4<f32> {
    var v = vec4<f32>();
    if line >= {{ s.extent }} || k >= {{ k }} { return v; }
    {%- if s.wide %}
    let spot = k / {{ w.f }};
    v = b{{ s.buffer }}[((spot * {{ w.c }} + line) * {{ w.f }} + (k - spot * {{ w.f }})) >> 2u];
    {%- else %}
    for (var e = 0u; e < 4u; e++) {
        let tap = k + e;
        let spot = tap / {{ w.f }};
        var value = 0.0;
        if tap < {{ k }} { value = b{{ s.buffer }}[(spot * {{ w.c }} + line) * {{ w.f }} + (tap - spot * {{ w.f }})]; }
        // Shifted in: a place chosen by a variable is more than every compiler takes.
        v = vec4<f32>(v.yzw, value);
    }
    {%- endif %}
    return v;
}
