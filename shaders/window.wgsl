// Pooling and its relatives, channels last: x (batch, h, w, c), y (batch, oh, ow, c), then a fused program on each element.
// One thread computes one element of the result: {{ self.what() }}.
// Globals: the uniform words `p` and the buffers `b0`, `b1`, ...
{% include "head.wgsl" %}
{%- if self.picks() %}

// Where the first greatest element of an output's window lies in x (NaN counts as greatest); `0xffffffff` in an empty window.
fn winner(image: u32, oh: u32, ow: u32, c: u32) -> u32 {
    var found = 0xffffffffu;
    var best = {{ ty }}();
    let y0 = oh * {{ v.stride_h }} - {{ v.pad_h }};
    let x0 = ow * {{ v.stride_w }} - {{ v.pad_w }};
    for (var kh = 0u; kh < {{ v.kh }}; kh++) {
        // Below 0 wraps to the far end, so one comparison finds both sides.
        let y = y0 + kh * {{ v.dilation_h }};
        if y >= {{ v.h }} { continue; }
        for (var kw = 0u; kw < {{ v.kw }}; kw++) {
            let x = x0 + kw * {{ v.dilation_w }};
            if x >= {{ v.w }} { continue; }
            let at = ((image * {{ v.h }} + y) * {{ v.w }} + x) * {{ v.c }} + c;
            let value = b{{ inputs[0] }}[at];
            if found == 0xffffffffu || value > best{% if self.float() %} || (k_is_nan(value) && !k_is_nan(best)){% endif %} {
                {%- if self.float() %}
                if found != 0xffffffffu && k_is_nan(best) { continue; }
                {%- endif %}
                found = at;
                best = value;
            }
        }
    }
    return found;
}
{%- endif %}

@compute @workgroup_size({{ threads }})
fn main(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let o = ((w.z * n.y + w.y) * n.x + w.x) * {{ threads }}u + t;
    if o >= {{ count }} { return; }
    {%- if self.backward() %}
    let o_h = {{ v.h }};
    let o_w = {{ v.w }};
    {%- else %}
    let o_h = {{ v.oh }};
    let o_w = {{ v.ow }};
    {%- endif %}
    let spot = o / {{ v.c }};
    let c = o - spot * {{ v.c }};
    let line = spot / o_w;
    let column = spot - line * o_w;
    let image = line / o_h;
    let row = line - image * o_h;
    {%- match op %}
    {%- when WindowOp::Max %}
    let found = winner(image, row, column, c);
    var acc = {{ lowest }};
    if found != 0xffffffffu { acc = b{{ inputs[0] }}[found]; }
    {%- when WindowOp::MaxPick %}
    let found = winner(image, row, column, c);
    var acc = {{ ty }}();
    if found != 0xffffffffu { acc = b{{ inputs[1] }}[found]; }
    {%- when WindowOp::Sum %}
    var acc = {{ ty }}();
    let y0 = row * {{ v.stride_h }} - {{ v.pad_h }};
    let x0 = column * {{ v.stride_w }} - {{ v.pad_w }};
    for (var kh = 0u; kh < {{ v.kh }}; kh++) {
        let y = y0 + kh * {{ v.dilation_h }};
        if y >= {{ v.h }} { continue; }
        for (var kw = 0u; kw < {{ v.kw }}; kw++) {
            let x = x0 + kw * {{ v.dilation_w }};
            if x < {{ v.w }} { acc += b{{ inputs[0] }}[((image * {{ v.h }} + y) * {{ v.w }} + x) * {{ v.c }} + c]; }
        }
    }
    {%- when _ %}
    // The windows that contain this input position, from the last tap to the first: outputs in row-major order.
    var acc = {{ ty }}();
    for (var th = 0u; th < {{ v.kh }}; th++) {
        let y = row + {{ v.pad_h }} - ({{ v.kh }} - 1u - th) * {{ v.dilation_h }};
        let oh = y / {{ v.stride_h }};
        if oh * {{ v.stride_h }} != y || oh >= {{ v.oh }} { continue; }
        for (var tw = 0u; tw < {{ v.kw }}; tw++) {
            let x = column + {{ v.pad_w }} - ({{ v.kw }} - 1u - tw) * {{ v.dilation_w }};
            let ow = x / {{ v.stride_w }};
            if ow * {{ v.stride_w }} != x || ow >= {{ v.ow }} { continue; }
            {%- if self.picks() %}
            if winner(image, oh, ow, c) != o { continue; }
            {%- endif %}
            acc += b{{ inputs[inputs.len() - 1] }}[((image * {{ v.oh }} + oh) * {{ v.ow }} + ow) * {{ v.c }} + c];
        }
    }
    {%- endmatch %}
    {%- for s in body %}
    {{ s }}
    {%- endfor %}
}
