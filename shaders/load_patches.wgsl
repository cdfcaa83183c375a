// Operand {{ s.name }}, the patches of a convolution's input x (batch, h, w, c): an output position (n, oh, ow) against four
// neighbouring taps (kh, kw, c), 0 where the tap falls outside of x. {% if s.along_k %}Taps run along k.{% else %}Positions run along k.{% endif %}
fn load_{{ s.name }}(base: u32, line: u32, k: u32) -> vec4<f32> {
    var v = vec4<f32>();
    if line >= {{ s.extent }} || k >= {{ k }} { return v; }
    let position = {% if s.along_k %}line{% else %}k{% endif %};
    let tap = {% if s.along_k %}k{% else %}line{% endif %};
    let row = position / {{ w.ow }};
    let image = row / {{ w.oh }};
    // Addresses below 0 wrap to the far end, so one comparison finds both sides.
    let y0 = (row - image * {{ w.oh }}) * {{ w.stride_h }} - {{ w.pad_h }};
    let x0 = (position - row * {{ w.ow }}) * {{ w.stride_w }} - {{ w.pad_w }};
    let tap_row = tap / {{ w.c }};
    var c = tap - tap_row * {{ w.c }};
    var kh = tap_row / {{ w.kw }};
    var kw = tap_row - kh * {{ w.kw }};
    {%- if s.wide %}
    let y = y0 + kh * {{ w.dilation_h }};
    let x = x0 + kw * {{ w.dilation_w }};
    if y < {{ w.h }} && x < {{ w.w }} {
        v = b{{ s.buffer }}[(((image * {{ w.h }} + y) * {{ w.w }} + x) * {{ w.c }} + c) >> 2u];
    }
    {%- else %}
    let taps = {% if s.along_k %}{{ k }}{% else %}{{ s.extent }}{% endif %};
    for (var e = 0u; e < 4u; e++) {
        let y = y0 + kh * {{ w.dilation_h }};
        let x = x0 + kw * {{ w.dilation_w }};
        var value = 0.0;
        if tap + e < taps && y < {{ w.h }} && x < {{ w.w }} {
            value = b{{ s.buffer }}[((image * {{ w.h }} + y) * {{ w.w }} + x) * {{ w.c }} + c];
        }
        // Shifted in: a place chosen by a variable is more than every compiler takes.
        v = vec4<f32>(v.yzw, value);
        c++;
        if c == {{ w.c }} {
            c = 0u;
            kw++;
            if kw == {{ w.kw }} {
                kw = 0u;
                kh++;
            }
        }
    }
    {%- endif %}
    return v;
}
