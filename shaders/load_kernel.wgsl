// Operand {{ s.name }}, a convolution's kernel (kh, kw, c, f) for the gradient of its input: channel `line` against four
// neighbouring taps (kh, kw, f) along k.
fn place_{{ s.name }}(base: u32, line: u32, kk: i32) -> Place {
    return Place(base + line * {{ w.f }}, 0u, 0u, kk);
}

fn load_{{ s.name }}(place: Place, k: u32, {% if s.by_lane() %}least: i32{% else %}there: bool{% endif %}) -> vec4<f32> {
    let first = k + u32(place.kk);
    {%- if s.wide %}
    let spot = first / {{ w.f }};
    let at = place.at + spot * {{ w.c }} * {{ w.f }} + (first - spot * {{ w.f }});
    return b{{ s.buffer }}[select(0u, at >> 2u, there)];
    {%- else %}
    var v = vec4<f32>();
    for (var e = 0u; e < 4u; e++) {
        let tap = first + e;
        let spot = tap / {{ w.f }};
        let at = place.at + spot * {{ w.c }} * {{ w.f }} + (tap - spot * {{ w.f }});
        // Shifted in: a place chosen by a variable is more than every compiler takes.
        v = vec4<f32>(v.yzw, b{{ s.buffer }}[select(0u, at, place.kk + i32(e) >= least)]);
    }
    return v;
    {%- endif %}
}
