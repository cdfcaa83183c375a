// Operand {{ s.name }}, a convolution's kernel (kh, kw, c, f) for the gradient of its input: channel `line` against four
// neighbouring taps (kh, kw, f) along k.
fn place_{{ s.name }}(base: u32, line: u32, kk: i32) -> Place {
    return Place(base + line * {{ w.f }}, 0u, 0u, kk);
}

fn load_{{ s.name }}(place: Place, k: u32, {% if s.by_lane() %}least: i32{% else %}there: bool{% endif %}) -> {{ s.four() }} {
    let first = k + u32(place.kk);
    {%- if s.wide %}
    let spot = first / {{ w.f }};
    let at = place.at + spot * {{ w.c }} * {{ w.f }} + (first - spot * {{ w.f }});
    return {{ s.from() }}select(0u, at >> 2u, there){{ s.to() }};
    {%- else %}
    var v = {{ s.four() }}();
    for (var e = 0u; e < 4u; e++) {
        let tap = first + e;
        let spot = tap / {{ w.f }};
        let at = place.at + spot * {{ w.c }} * {{ w.f }} + (tap - spot * {{ w.f }});
        // Shifted in: a place chosen by a variable is more than every compiler takes.
        v = {{ s.four() }}(v.yzw, {{ s.from() }}select(0u, at, place.kk + i32(e) >= least){{ s.to() }});
    }
    return v;
    {%- endif %}
}
