// Operand {{ s.name }}, the patches of a convolution's input x (batch, h, w, c): an output position (n, oh, ow) against four
// neighbouring taps (kh, kw, c), 0 where the tap falls outside of x. {% if s.along_k %}Taps run along k.{% else %}Positions run along k.{% endif %}
// Coordinates below 0 wrap to the far end, so one comparison finds both sides.

// Where the window of a position begins: its image, row and column.
fn window_{{ s.name }}(position: u32) -> vec3<u32> {
    let row = position / {{ w.ow }};
    let image = row / {{ w.oh }};
    return vec3<u32>(image, (row - image * {{ w.oh }}) * {{ w.stride_h }} - {{ w.pad_h }}, (position - row * {{ w.ow }}) * {{ w.stride_w }} - {{ w.pad_w }});
}

// How far a tap lies from there: rows, columns; and its channel.
fn tap_{{ s.name }}(tap: u32) -> vec3<u32> {
    let spot = tap / {{ w.c }};
    let kh = spot / {{ w.kw }};
    return vec3<u32>(kh * {{ w.dilation_h }}, (spot - kh * {{ w.kw }}) * {{ w.dilation_w }}, tap - spot * {{ w.c }});
}

fn place_{{ s.name }}(base: u32, line: u32, kk: i32) -> Place {
    {%- if s.along_k %}
    let start = window_{{ s.name }}(line);
    return Place(start.x, start.y, start.z, kk);
    {%- else if s.wide %}
    let tap = tap_{{ s.name }}(line);
    return Place(tap.z, tap.x, tap.y, kk);
    {%- else %}
    return Place(line, 0u, 0u, kk);
    {%- endif %}
}

fn load_{{ s.name }}(place: Place, k: u32, {% if s.by_lane() %}least: i32{% else %}there: bool{% endif %}) -> {{ s.four() }} {
    let first = k + u32(place.kk);
    {%- if s.wide %}
    {%- if s.along_k %}
    let start = vec3<u32>(place.at, place.y, place.x);
    let tap = tap_{{ s.name }}(first);
    {%- else %}
    let start = window_{{ s.name }}(first);
    let tap = vec3<u32>(place.y, place.x, place.at);
    {%- endif %}
    let y = start.y + tap.x;
    let x = start.z + tap.y;
    let inside = y < {{ w.h }} && x < {{ w.w }} && there;
    let at = ((start.x * {{ w.h }} + y) * {{ w.w }} + x) * {{ w.c }} + tap.z;
    return select({{ s.four() }}(), {{ s.from() }}select(0u, at >> 2u, inside){{ s.to() }}, inside);
    {%- else %}
    {%- if s.along_k %}
    let start = vec3<u32>(place.at, place.y, place.x);
    {%- else %}
    let start = window_{{ s.name }}(first);
    {%- endif %}
    var v = {{ s.four() }}();
    for (var e = 0u; e < 4u; e++) {
        {%- if s.along_k %}
        let tap = tap_{{ s.name }}(first + e);
        let there = place.kk + i32(e) >= least;
        {%- else %}
        let tap = tap_{{ s.name }}(min(place.at + e, {{ s.extent }} - 1u));
        {%- endif %}
        let y = start.y + tap.x;
        let x = start.z + tap.y;
        let inside = y < {{ w.h }} && x < {{ w.w }} && there;
        let at = ((start.x * {{ w.h }} + y) * {{ w.w }} + x) * {{ w.c }} + tap.z;
        // Shifted in: a place chosen by a variable is more than every compiler takes.
        v = {{ s.four() }}(v.yzw, select({{ s.one() }}(), {{ s.from() }}select(0u, at, inside){{ s.to() }}, inside));
    }
    return v;
    {%- endif %}
}
