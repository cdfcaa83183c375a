// Operand {{ s.name }}, the outputs that an input position (n, h, w) took part in, from the output's gradient dy (batch, oh, ow, f):
// four neighbouring taps (kh, kw, f) along k, 0 where the tap reaches no output.
fn load_{{ s.name }}(base: u32, line: u32, k: u32) -> vec4<f32> {
    var v = vec4<f32>();
    if line >= {{ s.extent }} || k >= {{ k }} { return v; }
    let row = line / {{ w.w }};
    let image = row / {{ w.h }};
    let y0 = row - image * {{ w.h }} + {{ w.pad_h }};
    let x0 = line - row * {{ w.w }} + {{ w.pad_w }};
    let tap_row = k / {{ w.f }};
    var f = k - tap_row * {{ w.f }};
    var kh = tap_row / {{ w.kw }};
    var kw = tap_row - kh * {{ w.kw }};
    for (var e = 0u; e < {% if s.wide %}1u{% else %}4u{% endif %}; e++) {
        // Below 0 wraps to the far end, and is outside as well.
        let y = y0 - kh * {{ w.dilation_h }};
        let x = x0 - kw * {{ w.dilation_w }};
        let oh = y / {{ w.stride_h }};
        let ow = x / {{ w.stride_w }};
        {%- if !s.wide %}
        var value = 0.0;
        {%- endif %}
        if {% if !s.wide %}k + e < {{ k }} && {% endif %}oh * {{ w.stride_h }} == y && ow * {{ w.stride_w }} == x && oh < {{ w.oh }} && ow < {{ w.ow }} {
            let at = ((image * {{ w.oh }} + oh) * {{ w.ow }} + ow) * {{ w.f }} + f;
            {%- if s.wide %}
            v = b{{ s.buffer }}[at >> 2u];
            {%- else %}
            value = b{{ s.buffer }}[at];
            {%- endif %}
        }
        {%- if !s.wide %}
        // Shifted in: a place chosen by a variable is more than every compiler takes.
        v = vec4<f32>(v.yzw, value);
        f++;
        if f == {{ w.f }} {
            f = 0u;
            kw++;
            if kw == {{ w.kw }} {
                kw = 0u;
                kh++;
            }
        }
        {%- endif %}
    }
    return v;
}
