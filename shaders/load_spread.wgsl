// Operand {{ s.name }}, the outputs that an input position (n, h, w) took part in, from the output's gradient dy (batch, oh, ow, f):
// four neighbouring taps (kh, kw, f) along k, 0 where the tap reaches no output.
fn place_{{ s.name }}(base: u32, line: u32, kk: i32) -> Place {
    let row = line / {{ w.w }};
    let image = row / {{ w.h }};
    return Place(image * {{ w.oh }}, row - image * {{ w.h }} + {{ w.pad_h }}, line - row * {{ w.w }} + {{ w.pad_w }}, kk);
}

// Where in dy a tap of a place is; whether it is there at all.
fn output_{{ s.name }}(place: Place, tap: u32, inside: ptr<function, bool>) -> u32 {
    let spot = tap / {{ w.f }};
    let kh = spot / {{ w.kw }};
    // Below 0 wraps to the far end, and is outside as well.
    let y = place.y - kh * {{ w.dilation_h }};
    let x = place.x - (spot - kh * {{ w.kw }}) * {{ w.dilation_w }};
    let oh = y / {{ w.stride_h }};
    let ow = x / {{ w.stride_w }};
    *inside = oh * {{ w.stride_h }} == y && ow * {{ w.stride_w }} == x && oh < {{ w.oh }} && ow < {{ w.ow }};
    return ((place.at + oh) * {{ w.ow }} + ow) * {{ w.f }} + (tap - spot * {{ w.f }});
}

fn load_{{ s.name }}(place: Place, k: u32, {% if s.by_lane() %}least: i32{% else %}there: bool{% endif %}) -> {{ s.four() }} {
    let first = k + u32(place.kk);
    var reached = false;
    {%- if s.wide %}
    let at = output_{{ s.name }}(place, first, &reached);
    let inside = reached && there;
    return select({{ s.four() }}(), {{ s.from() }}select(0u, at >> 2u, inside){{ s.to() }}, inside);
    {%- else %}
    var v = {{ s.four() }}();
    for (var e = 0u; e < 4u; e++) {
        let at = output_{{ s.name }}(place, first + e, &reached);
        let inside = reached && place.kk + i32(e) >= least;
        // Shifted in: a place chosen by a variable is more than every compiler takes.
        v = {{ s.four() }}(v.yzw, select({{ s.one() }}(), {{ s.from() }}select(0u, at, inside){{ s.to() }}, inside));
    }
    return v;
    {%- endif %}
}
